package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"gatehouse/conformance"
	"gatehouse/internal/contractdiff"
	"gatehouse/openapi/generate"
	"gatehouse/openapi/lint"
	"gatehouse/openapi/scenarios"
)

// project is the repository.
type project struct {
	// root is its root.
	root string
	// program is where the server is built, as an absolute path.
	program string
}

// buildFlags are for a quick build: a third of the time of compiling goes into optimisation and debug information. -e
// has the compiler report all errors instead of the first ten.
var buildFlags = []string{"-buildvcs=false", "-gcflags=gatehouse/...=-e -N -l -dwarf=false", "-ldflags=-s -w"}

// buildGC has the compiler and the linker collect garbage less often, which saves a tenth of the time of a build.
const buildGC = "GOGC=400"

// contractNames are the contracts in openapi/.
var contractNames = []string{"admin", "dashboard", "node"}

// generate checks the contracts and generates code from them, if they have changed. It returns what is wrong.
func (p project) generate(ctx context.Context, todo changes) []string {
	if len(todo.contracts) == 0 {
		return nil
	}
	result, err := generate.Run(ctx, filepath.Join(p.root, "openapi"))
	if err != nil {
		return []string{err.Error()}
	}
	return texts(result.Faults)
}

// build builds the server. It returns what is left to do, one line each.
func (p project) build(ctx context.Context) []string {
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build"}, buildFlags, []string{"-o", p.program, "."})...)
	cmd.Dir, cmd.Env = p.root, append(os.Environ(), buildGC)
	// Interrupt go and what it runs, so that it removes its temporary directory when the others have ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	output, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case len(bytes.TrimSpace(output)) == 0:
		return []string{"go build: " + err.Error()}
	default:
		return p.explain(string(output))
	}
}

func texts(problems []lint.Problem) (lines []string) {
	for _, problem := range problems {
		lines = append(lines, problem.String())
	}
	return lines
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// scenarios returns the faults of the scenarios, and the outcomes that have none. It returns nothing if a contract
// cannot be read, which generate reports.
func (p project) scenarios() []string {
	spec, err := conformance.ReadSpec(p.contracts(contractNames)...)
	if err != nil {
		return nil
	}
	if _, err = conformance.Load(spec, os.DirFS(filepath.Join(p.root, scenarios.Dir)), scenarios.Dir); err != nil {
		return lines(err.Error())
	}
	return nil
}

func (p project) contracts(names []string) (paths []string) {
	for _, name := range names {
		paths = append(paths, p.contract(name))
	}
	return paths
}

func (p project) contract(name string) string { return filepath.Join(p.root, "openapi", name+".yaml") }

// explain returns the errors of a build in the terms of the contracts: handlers that are missing, or that no operation
// needs, and outcomes that an operation does not have.
func (p project) explain(output string) []string {
	tasks, err := p.tasks()
	if err != nil { // such as a syntax error, which is in the output as well
		tasks = nil
	}
	var problems []string
	for _, task := range tasks {
		problems = append(problems, task.String())
	}
	consequence := false // of a task
	for _, line := range lines(output) {
		switch {
		case strings.HasPrefix(line, "# "): // the name of a package
		case strings.HasPrefix(line, "\t") && consequence:
		case strings.HasPrefix(line, "\t") && len(problems) > 0:
			problems[len(problems)-1] += " " + strings.TrimSpace(line)
		default:
			if consequence = follows(line, tasks); !consequence {
				problems = append(problems, explainLine(line))
			}
		}
	}
	return slices.Compact(problems)
}

// follows reports whether an error of the compiler follows from a task: a handler that is missing, or a type of an
// operation that is gone in a handler that no operation needs.
func follows(line string, tasks []contractdiff.Task) bool {
	if len(tasks) == 0 {
		return false
	}
	if match := undefinedReply.FindStringSubmatch(line); match != nil {
		return slices.ContainsFunc(tasks, func(t contractdiff.Task) bool {
			return strings.Contains(t.Text, "the handler "+match[1]+":")
		})
	}
	return isMissingMethod.MatchString(line)
}

// tasks returns what the code has to do for the contracts as they are.
func (p project) tasks() ([]contractdiff.Task, error) {
	spec, err := contractdiff.Load(p.contract("admin"))
	if err != nil {
		return nil, err
	}
	return contractdiff.Left(p.root, "admin.yaml", spec, spec)
}

var (
	// The compiler names only the first method that is missing, at each place where an interface is asked for.
	isMissingMethod = regexp.MustCompile(`\((missing method \w+|wrong type for method \w+)\)|does not match inferred type`)
	undefinedReply  = regexp.MustCompile(`undefined: \w+\.(\w+)(?:Reply|Replies)$`)
	// The outcome is named where it is used, and by a function of server/errors.go, where an error becomes an outcome.
	missingOutcomes = []*regexp.Regexp{
		regexp.MustCompile(`^(\S+: )\S+ undefined \(type \w+\.(\w+)Replies has no field or method (\w+)\)`),
		regexp.MustCompile(`^(\S+: )in call to \w+, type \w+\.(\w+)Replies of \w+ does not match interface *\{ *(\w+)\(`),
	}
)

const lacksOutcome = "has no outcome "

// explainLine explains the use of an outcome that the contract does not have, and returns other lines as they are.
func explainLine(line string) string {
	for _, pattern := range missingOutcomes {
		if match := pattern.FindStringSubmatch(line); match != nil {
			const message = "%sthe operation of %s %s%s: add a response example of that name, or reply with another"
			return fmt.Sprintf(message, match[1], match[2], lacksOutcome, snakeCase(match[3]))
		}
	}
	return line
}

// withoutConsequences returns problems of a build without those of faults that were found in a contract: an outcome
// whose example is missing.
func withoutConsequences(problems []string) []string {
	return slices.DeleteFunc(problems, func(problem string) bool {
		return strings.Contains(problem, lacksOutcome) || strings.HasPrefix(problem, contractRefused)
	})
}

// contractRefused begins the error of a server that refuses its contract.
const contractRefused = "gatehouse: contract: "

var wordStart = regexp.MustCompile(`(.)([A-Z])`)

// snakeCase returns the name of an outcome: NotFound is not_found.
func snakeCase(name string) string {
	return strings.ToLower(wordStart.ReplaceAllString(name, "${1}_${2}"))
}
