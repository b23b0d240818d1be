package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build builds gatehouse as its users do, and the servers that it is compared with. The working directory is bench/.
func (b *bench) build(ctx context.Context) error {
	b.progressf("building gatehouse")
	// Built in its own directory, with its own go.mod: the module bench may require other versions.
	if err := goTool(ctx, "-C", "..", "build", "-o", b.executable(gatehouse), "."); err != nil {
		return err
	}
	info, err := os.Stat(b.executable(gatehouse))
	if err != nil {
		return err
	}
	b.report.add("binary_mib", "MiB", float64(info.Size())/mebibyte)
	b.progressf("generating and building the servers to compare it with")
	// Generated in each run, so that it matches the current contract.
	if err := goTool(ctx, "tool", "ogen", "-loglevel", "error", "-config", "_ogen/ogen.yml", "-package", "api",
		"-target", "_ogen/api", "-clean", "../openapi/admin.yaml"); err != nil {
		return err
	}
	for name, source := range map[string]string{bare: "./bare", stock: "./stock", ogen: "./_ogen"} {
		if err := goTool(ctx, "build", "-o", b.executable(name), source); err != nil {
			return err
		}
	}
	return nil
}

// executable returns the path of a server's executable.
func (b *bench) executable(name string) string { return filepath.Join(b.dir, name) }

// goTool runs the go command.
func goTool(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w: %s (the benchmark runs in bench/: go -C bench run .)", args, err, out)
	}
	return nil
}
