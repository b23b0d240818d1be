// Command cmd checks OpenAPI documents and prints a line for each fault. It exits with 1 if there are any:
//
//	go run ./openapi/lint/cmd openapi/admin.yaml openapi/dashboard.yaml openapi/node.yaml
//
// Spectral's rules are checked only if there is no other fault: one fault is one line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"gatehouse/openapi/lint"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "check contracts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return errors.New("name the documents to check")
	}
	problems, err := lint.Check(paths...)
	if err == nil && len(problems) == 0 {
		folder := filepath.Dir(paths[0])
		if err = needSpectral(folder); err == nil {
			problems, err = lint.RunSpectral(ctx, folder, paths...)
		}
	}
	if err != nil {
		return err
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d problems", len(problems))
	}
	return nil
}

// needSpectral returns an error if Spectral is not installed.
func needSpectral(folder string) error {
	if _, err := exec.LookPath("./" + filepath.Join(folder, lint.Spectral)); err != nil {
		return fmt.Errorf("only structure and references were checked, because Spectral is not installed: install "+
			"Node.js 20 and run `npm ci --prefix %s`", folder)
	}
	return nil
}
