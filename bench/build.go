package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// buildServers builds gatehouse as its users do, and the servers that it is compared with, into a directory. It has to
// run in bench/.
func buildServers(ctx context.Context, dir string) error {
	// Built in its own directory, with its own go.mod: the module bench may require other versions.
	if err := goTool(ctx, "-C", "..", "build", "-o", filepath.Join(dir, gatehouse), "."); err != nil {
		return err
	}
	if err := generateOgen(ctx); err != nil {
		return err
	}
	for name, source := range map[string]string{
		bare: "./bare", stock: "./stock", ogen: "./_ogen", prober: "./prober",
	} {
		if err := goTool(ctx, "build", "-o", filepath.Join(dir, name), source); err != nil {
			return err
		}
	}
	return nil
}

// generateOgen generates _ogen/api from the contract, in less than a second. Each run generates it, so that it matches
// the current contract, and deletes it first: an interrupted run may have left any part of it behind.
func generateOgen(ctx context.Context) error {
	const target = "_ogen/api"
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	contract, err := os.ReadFile("../openapi/admin.yaml")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gatehouse-ogen-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	supported := filepath.Join(dir, "admin.yaml")
	if err := os.WriteFile(supported, emptyDefault.ReplaceAll(contract, nil), 0o600); err != nil {
		return err
	}
	return goTool(ctx, "tool", "ogen", "-loglevel", "error", "-config", "_ogen/ogen.yml", "-package", "api",
		"-target", target, supported)
}

// emptyDefault matches a default that is an empty object or list, which ogen cannot generate. It is the zero value of
// the generated types anyway.
var emptyDefault = regexp.MustCompile(`(?m)^ *default: (\{\}|\[\])\n`)

// goTool runs the go command.
func goTool(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w: %s (the benchmark runs in bench/: go -C bench run .)", args, err, out)
	}
	return nil
}
