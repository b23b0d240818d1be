package main

import (
	"context"
	"os"
	"path/filepath"

	"gatehouse/openapi/lint"
)

// rules checks contracts with the rules of Spectral, such as that examples match. The process of Spectral lasts from
// one change to the next.
type rules struct {
	project project
	linter  *lint.SpectralLinter // nil while there is none
}

func (r *rules) installed() bool {
	_, err := os.Stat(filepath.Join(r.project.root, "openapi", lint.Spectral))
	return err == nil
}

// lint returns what Spectral finds in contracts, if it is installed.
func (r *rules) lint(ctx context.Context, contracts []string) []string {
	if len(contracts) == 0 || !r.installed() {
		return nil
	}
	if r.linter == nil {
		folder := filepath.Join(r.project.root, "openapi")
		linter, err := lint.StartSpectral(ctx, folder, filepath.Join(folder, lint.RulesFile))
		if err != nil {
			return []string{"start Spectral: " + err.Error()}
		}
		r.linter = linter
	}
	problems, err := r.linter.Lint(ctx, r.project.contracts(contracts)...)
	if err != nil {
		r.close()
		if ctx.Err() != nil {
			return nil
		}
		return []string{err.Error()}
	}
	return texts(problems)
}

// close ends the process. The next check starts another, which reads the rules again.
func (r *rules) close() {
	if r.linter != nil {
		r.linter.Close()
		r.linter = nil
	}
}
