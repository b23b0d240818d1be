package lint

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// RulesFile is the name of the file with Spectral's rules. It is in the folder of the documents.
const RulesFile = ".spectral.yaml"

// Spectral is where npm installs Spectral's program, relative to the folder of the contracts.
const Spectral = "node_modules/.bin/spectral"

// spectralScript is the program that lints, relative to the folder of the contracts.
const spectralScript = "lint/spectral.mjs"

// RunSpectral lints the documents at paths with the rules that are in their folder, and returns the problems as Check
// does. folder is that of the contracts, where Spectral is installed.
func RunSpectral(ctx context.Context, folder string, paths ...string) ([]Problem, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	linter, err := StartSpectral(ctx, folder, filepath.Join(filepath.Dir(paths[0]), RulesFile))
	if err != nil {
		return nil, err
	}
	defer linter.Close()
	return linter.Lint(ctx, paths...)
}

// SpectralLinter is a process of Spectral, which takes 1 s of CPU time to start, and then about 1 s for a document. It
// is not safe for concurrent use.
type SpectralLinter struct {
	process     *exec.Cmd
	paths       io.WriteCloser // its standard input
	results     *bufio.Reader  // its standard output
	diagnostics *bytes.Buffer  // its standard error, complete when process has been waited for
	// err is what it ended with before Close; it lints nothing any more.
	err error
}

// StartSpectral starts a process that lasts until Close, also when ctx ends. rules is the file of its rules, which are
// read once.
func StartSpectral(ctx context.Context, folder, rules string) (*SpectralLinter, error) {
	rules, err := filepath.Abs(rules)
	if err != nil {
		return nil, err
	}
	process := exec.CommandContext(context.WithoutCancel(ctx), "node", filepath.Join(folder, spectralScript), rules)
	linter := &SpectralLinter{process: process, diagnostics: &bytes.Buffer{}}
	process.Stderr = linter.diagnostics
	if linter.paths, err = process.StdinPipe(); err != nil {
		return nil, err
	}
	results, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	linter.results = bufio.NewReader(results)
	return linter, process.Start()
}

// Lint returns the problems of the documents at paths, which are linted one after another. The end of ctx ends the
// process. After an error the linter is of no use any more.
func (s *SpectralLinter) Lint(ctx context.Context, paths ...string) ([]Problem, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.process.Process.Kill() }) // fails if it has ended
	defer stop()
	var all []Problem
	for _, path := range paths {
		problems, err := s.lint(path)
		if err != nil {
			return nil, fmt.Errorf("lint %s with Spectral: %w", path, err)
		}
		all = append(all, problems...)
	}
	return sorted(all), nil
}

// Close ends the process.
func (s *SpectralLinter) Close() {
	if s.err == nil {
		s.err = s.end()
	}
}

func (s *SpectralLinter) end() error {
	_ = s.paths.Close()          // fails if the process has ended
	_ = s.process.Process.Kill() // the same; it has nothing to finish
	_ = s.process.Wait()         // diagnostics say why it ended
	return errors.New("node ended: " + s.process.ProcessState.String() + "\n" + s.diagnostics.String())
}

// spectralResult is a problem as Spectral prints it. Lines and characters count from 0.
type spectralResult struct {
	Code    string
	Message string
	Source  string
	Range   struct{ Start struct{ Line, Character int } }
}

func (s *SpectralLinter) lint(path string) ([]Problem, error) {
	if s.err != nil {
		return nil, s.err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(s.paths, path)
	var line []byte
	if err == nil {
		line, err = s.results.ReadBytes('\n')
	}
	if err != nil {
		s.err = s.end()
		return nil, s.err
	}
	var results []spectralResult
	if err := json.Unmarshal(line, &results); err != nil {
		return nil, fmt.Errorf("its output is not JSON: %w\n%s", err, line)
	}
	var problems []Problem
	for _, result := range results {
		problems = append(problems, Problem{
			File: relative(result.Source), Line: result.Range.Start.Line + 1, Column: result.Range.Start.Character + 1,
			Message: result.Message + " (" + result.Code + ")",
		})
	}
	return problems, nil
}

// relative returns path relative to the working directory if it is below it, as in the problems of Check.
func relative(path string) string {
	folder, err := os.Getwd()
	if err != nil {
		return path
	}
	if below, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(below) {
		return below
	}
	return path
}
