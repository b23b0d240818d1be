// Package generate checks the contracts in a folder, and generates the code that follows from them.
//
// A contract is a file NAME.yaml, an OpenAPI 3.0 document, with a file NAME.codegen.yaml beside it, which says what is
// generated from it and where it goes:
//
//	package: api
//	output: api/api.gen.go # relative to the root of the module, where go.mod is
//
// The settings are those of oapi-codegen. What a file does not set is as a server of package apiserver needs it: a type
// for each schema, an interface with a handler for each operation, the replies of each operation by outcome, the
// routes, and the embedded contract. openapi/README.md explains each setting, and those of bundles and clients.
package generate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gatehouse/openapi/lint"
)

// The modes of what is generated, as in a checkout.
const (
	folderMode = 0o755
	fileMode   = 0o644
)

const (
	settingsSuffix = ".codegen.yaml"
	contractSuffix = ".yaml"
	// bundlesFile has the bundles that are made of the contracts, if there are any.
	bundlesFile = "bundles" + settingsSuffix
)

// Result is what Run has done.
type Result struct {
	// Faults are those of the contracts. If there is one, nothing is generated.
	Faults []lint.Problem
	// Written are the paths of the files that have changed, relative to the root of the module.
	Written []string
}

// Run checks the contracts in a folder and, if they have no fault, generates code from them. It replaces generated
// files when all of them are made: after a fault or an error, they are as they were.
func Run(ctx context.Context, folder string) (Result, error) {
	root, err := moduleRoot(folder)
	if err != nil {
		return Result{}, err
	}
	return generator{contracts: folder, root: root, target: root}.run(ctx)
}

// moduleRoot returns the root of the module that a folder is in.
func moduleRoot(folder string) (string, error) {
	start, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(start); err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("neither %s nor a folder above it has a go.mod: run go mod init first", folder)
		}
	}
}

// generator generates code from the contracts in one folder.
type generator struct {
	// contracts is the folder with the contracts.
	contracts string
	// root is the root of the module, which paths of templates are relative to.
	root string
	// target is the folder that outputs are relative to.
	target string
}

// outputs are the contents of generated files by their paths.
type outputs map[string][]byte

func (g generator) run(ctx context.Context) (result Result, err error) {
	all, err := g.settings()
	if err != nil {
		return result, err
	}
	if result.Faults, err = check(g.specifications(all)); err != nil || len(result.Faults) > 0 {
		return result, err
	}
	if result.Written, err = g.generateAll(ctx, all); err != nil {
		return result, fmt.Errorf("%w\nAll generated files are as they were", err)
	}
	return result, nil
}

// settings returns the settings of all contracts, in the order of their names, those of clients last.
func (g generator) settings() ([]settings, error) {
	paths, err := filepath.Glob(filepath.Join(g.contracts, "*"+settingsSuffix))
	if err != nil {
		return nil, err
	}
	isBundles := func(path string) bool { return filepath.Base(path) == bundlesFile }
	if paths = slices.DeleteFunc(paths, isBundles); len(paths) == 0 {
		return nil, fmt.Errorf("%s has no contract: a file NAME.yaml with a file NAME%s beside it", g.contracts,
			settingsSuffix)
	}
	var all []settings
	for _, path := range paths {
		s, err := g.readSettings(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b settings) int { return len(a.Specification) - len(b.Specification) })
	return all, nil
}

// specifications returns the paths of the contracts, without the bundles that code is generated from.
func (g generator) specifications(all []settings) (paths []string) {
	for _, s := range all {
		if s.Specification == "" {
			paths = append(paths, s.contract)
		}
	}
	return paths
}

// orderRule is the rule of package lint that each property of a response has its place.
const orderRule = "property-order"

// check returns the faults of contracts, and what does not keep the rules of package lint. A contract without any
// x-order need not have one for each property.
func check(paths []string) ([]lint.Problem, error) {
	problems, err := lint.Check(paths...)
	if err != nil {
		return nil, err
	}
	ordered := map[string]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		ordered[path] = bytes.Contains(text, []byte("x-order:"))
	}
	return slices.DeleteFunc(problems, func(p lint.Problem) bool {
		inOrder, known := ordered[p.File]
		return p.Rule == orderRule && known && !inOrder
	}), nil
}

// generateAll generates all files, and then replaces those that differ.
func (g generator) generateAll(ctx context.Context, all []settings) ([]string, error) {
	made := outputs{}
	if err := g.bundle(made); err != nil {
		return nil, fmt.Errorf("bundle the contracts: %w", err)
	}
	for _, s := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		code, err := g.generate(s, made)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.source(), err)
		}
		if made[s.Output] != nil {
			return nil, fmt.Errorf("%s: %s is the output of another contract, too", s.source(), s.Output)
		}
		made[s.Output] = code
	}
	return g.replaceFiles(made)
}

// replaceFiles replaces the files in target that differ from what was made, and returns their paths.
func (g generator) replaceFiles(made outputs) (written []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(made)) {
		changed, err := replace(filepath.Join(g.target, name), made[name])
		if err != nil {
			return written, err
		}
		if changed {
			written = append(written, name)
		}
	}
	return written, nil
}

// replace gives a file a content, and reports whether it had another. The file is never there in part. One that has
// this content already is left alone, so that no program that watches it notices a change.
func replace(path string, content []byte) (changed bool, err error) {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, content) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return false, err
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, content, fileMode); err != nil {
		return false, err
	}
	return true, os.Rename(draft, path)
}

// checkOutput returns an error unless a path is one below the root of the module.
func checkOutput(path string) error {
	if path == "" || !filepath.IsLocal(path) || strings.HasSuffix(path, "/") {
		return errors.New("output has to be the path of a file below the root of the module, such as api/api.gen.go")
	}
	return nil
}
