package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build builds gatehouse as its users do, and the servers that it is compared with, from the sources in and above the
// working directory.
func (b *bench) build(ctx context.Context) error {
	b.say("building gatehouse")
	// In its own directory, so that it is built from its own go.mod and not with the versions that the peers ask for.
	if err := goTool(ctx, "-C", "..", "build", "-o", b.executable(gatehouse), "."); err != nil {
		return err
	}
	info, err := os.Stat(b.executable(gatehouse))
	if err != nil {
		return err
	}
	b.report.add("binary_mib", "MiB", float64(info.Size())/mebibyte)
	b.say("generating and building what it is compared with")
	// Generated anew for each run, over what an earlier run has left, so that it follows from the contract of now.
	if err := goTool(ctx, "tool", "ogen", "-loglevel", "error", "-config", "_ogen/ogen.yml", "-package", "api",
		"-target", "_ogen/api", "-clean", "../openapi/admin.yaml"); err != nil {
		return err
	}
	for name, source := range map[string]string{bare: "./bare", stock: "./stock", generated: "./_ogen"} {
		if err := goTool(ctx, "build", "-o", b.executable(name), source); err != nil {
			return err
		}
	}
	return nil
}

// executable returns the path of a server's program.
func (b *bench) executable(name string) string { return filepath.Join(b.dir, name) }

func goTool(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w: %s (the benchmark runs in bench/: go -C bench run .)", args, err, out)
	}
	return nil
}
