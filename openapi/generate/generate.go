// Package generate checks the contracts and generates the code that follows from them.
package generate

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
	"golang.org/x/sync/errgroup"

	"gatehouse/openapi/lint"
)

// contracts are the names of the contracts in openapi/: of a file NAME.yaml, and of NAME.codegen.yaml, which says how
// code is generated from it.
var contracts = []string{"admin", "dashboard", "node"}

// client is the name of the settings of the client, which is generated from the first of the bundles.
const client = "client"

// The modes of what is generated, as in a checkout.
const (
	folderMode = 0o755
	fileMode   = 0o644
)

// Run checks the contracts of the repository at root and, if they have no fault, generates code from them. It replaces
// generated files when all of them are there: after a fault or an error, they are as they were.
func Run(ctx context.Context, root string) (faults []lint.Problem, err error) {
	return generator{root: root, contracts: filepath.Join(root, "openapi"), target: root}.run(ctx)
}

// generator generates code from the contracts in one folder.
type generator struct {
	// root is the root of the repository, where oapi-codegen runs.
	root string
	// contracts is the folder with the contracts.
	contracts string
	// target is the folder that the outputs in *.codegen.yaml are relative to.
	target string
}

func (g generator) run(ctx context.Context) (faults []lint.Problem, err error) {
	var program string
	var group errgroup.Group
	group.Go(func() (err error) { faults, err = g.check(); return err })
	group.Go(func() (err error) { program, err = g.program(ctx); return err })
	if err := group.Wait(); err != nil || len(faults) > 0 {
		return faults, err
	}
	if err := g.generateAll(ctx, program); err != nil {
		return nil, fmt.Errorf("%w\nAll generated files are as they were", err)
	}
	return nil, nil
}

// generateAll generates all files in a folder of their own, and then replaces those that differ.
func (g generator) generateAll(ctx context.Context, program string) error {
	stage, err := os.MkdirTemp("", "gatehouse-generate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range contracts {
		run := codegen{program: program, config: g.config(name), specification: g.specification(name), stage: stage}
		group.Go(func() error {
			if err := g.generate(ctx, run); err != nil {
				return fmt.Errorf("%s: %w", run.specification, err)
			}
			return nil
		})
	}
	group.Go(func() error {
		bundled, err := g.bundle(stage)
		if err != nil {
			return fmt.Errorf("bundle the contracts: %w", err)
		}
		specification := filepath.Join(stage, bundled[0])
		run := codegen{program: program, config: g.config(client), specification: specification, stage: stage}
		if err := g.generate(ctx, run); err != nil {
			return fmt.Errorf("%s: %w", bundled[0], err)
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return g.replaceFiles(stage)
}

func (g generator) specification(name string) string { return filepath.Join(g.contracts, name+".yaml") }

func (g generator) config(name string) string {
	return filepath.Join(g.contracts, name+".codegen.yaml")
}

// check returns the faults of the contracts.
func (g generator) check() ([]lint.Problem, error) {
	var paths []string
	for _, name := range contracts {
		paths = append(paths, g.specification(name))
	}
	return lint.Check(paths...)
}

// program returns the path of oapi-codegen, which Go builds first if necessary: `go tool oapi-codegen` would search it
// again for each contract, which takes as long as the contract.
func (g generator) program(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", "oapi-codegen")
	cmd.Dir = g.root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // then go removes its temporary directory
	var diagnostics bytes.Buffer
	cmd.Stderr = &diagnostics
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go tool -n oapi-codegen: %w\n%s", err, strings.TrimSpace(diagnostics.String()))
	}
	return strings.TrimSpace(string(path)), nil
}

// codegen is a run of oapi-codegen.
type codegen struct{ program, config, specification, stage string }

// generate runs oapi-codegen for a specification. The output that the configuration names is written below the stage.
func (g generator) generate(ctx context.Context, run codegen) error {
	text, err := os.ReadFile(run.config)
	if err != nil {
		return err
	}
	var settings map[string]any
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return fmt.Errorf("%s: %w", run.config, err)
	}
	output, ok := settings["output"].(string)
	if !ok || !filepath.IsLocal(output) {
		return fmt.Errorf("%s: output has to be a path below the root of the repository", run.config)
	}
	settings["output"] = filepath.Join(run.stage, output)
	staged, err := os.CreateTemp("", "gatehouse-codegen-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(staged.Name())
	defer staged.Close()
	if text, err = yaml.Marshal(settings); err != nil {
		return err
	}
	if _, err := staged.Write(text); err != nil {
		return err
	}
	specification, err := filepath.Abs(run.specification)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, run.program, "-config", staged.Name(), specification)
	cmd.Dir = g.root
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("oapi-codegen: %w\n%s", err, strings.TrimSpace(string(text)))
	}
	return nil
}

// replaceFiles replaces the files in target by those in stage.
func (g generator) replaceFiles(stage string) error {
	return filepath.WalkDir(stage, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(stage, path)
		if err != nil {
			return err
		}
		return replace(filepath.Join(g.target, name), path)
	})
}

// replace gives a file the content of another. It is never there in part. A file that has this content already is left
// alone, so that no program that watches it notices a change.
func replace(path, content string) error {
	text, err := os.ReadFile(content)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return err
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, text, fileMode); err != nil { //nolint:gosec // the path is from the configuration
		return err
	}
	return os.Rename(draft, path)
}
