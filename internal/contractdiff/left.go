package contractdiff

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"golang.org/x/mod/modfile"
)

// Task is something in this repository that a contract needs, or needs no more.
type Task struct {
	// File and Line are where it is due, or where the contract asks for it. Line is 0 if unknown.
	File string
	Line int
	// Text says what to do.
	Text string
}

// String formats the task as compilers do, so that editors can jump to it.
func (t Task) String() string {
	if t.Line == 0 {
		return t.File + ": " + t.Text
	}
	return fmt.Sprintf("%s:%d: %s", t.File, t.Line, t.Text)
}

// thisModule is the module in the root of this repository.
const thisModule = "gatehouse"

// Where the parts of this repository are, relative to its root.
const (
	contractsDir  = "openapi"
	handlersDir   = "server"
	migrationsDir = "migrations"
)

// Left lists what the code of the repository at root lacks for the new version of one of its contracts: operations
// without a handler, handlers without an operation, and properties without a column. name is the file name of the
// contract, such as admin.yaml; the other contracts are read from the repository. Left lists nothing if root is not
// this repository, or has no contract of that name.
func Left(root, name string, before, after *openapi3.T) ([]Task, error) {
	others, err := otherContracts(root, name)
	if err != nil || others == nil {
		return nil, err
	}
	tasks, err := codeTasks(root, others, before, after)
	return sorted(tasks), err
}

// leftOf lists what Left does, and the outcomes without a scenario.
func leftOf(root, name string, before, after *openapi3.T) ([]Task, error) {
	others, err := otherContracts(root, name)
	if err != nil || others == nil {
		return nil, err
	}
	tasks, err := codeTasks(root, others, before, after)
	if err != nil {
		return nil, err
	}
	missing, err := scenarioTasks(root, append(others, after))
	return sorted(append(tasks, missing...)), err
}

func sorted(tasks []Task) []Task {
	slices.SortStableFunc(tasks, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(tasks)
}

// codeTasks lists what the handlers and the migrations lack.
func codeTasks(root string, others []*openapi3.T, before, after *openapi3.T) ([]Task, error) {
	handlers, err := readHandlers(filepath.Join(root, handlersDir))
	if err != nil {
		return nil, err
	}
	columns, err := readColumns(filepath.Join(root, migrationsDir))
	if err != nil {
		return nil, err
	}
	tasks := missingHandlers(operationsOf(after), handlers)
	for _, other := range others {
		tasks = append(tasks, missingHandlers(operationsOf(other), handlers)...)
	}
	tasks = append(tasks, handlersWithoutOperation(append(others, after), handlers)...)
	return append(tasks, columnTasks(before, after, columns)...), nil
}

// otherContracts loads the contracts of the repository but the named one; nil if root is not this repository, or does
// not have that contract. The module of somebody else may have the same folders.
func otherContracts(root, name string) ([]*openapi3.T, error) {
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || modfile.ModulePath(module) != thisModule {
		return nil, nil //nolint:nilerr // without a go.mod, it is not this repository
	}
	for _, needed := range []string{filepath.Join(contractsDir, name), handlersDir, migrationsDir} {
		if _, err := os.Stat(filepath.Join(root, needed)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	files, err := filepath.Glob(filepath.Join(root, contractsDir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	others := []*openapi3.T{}
	for _, file := range files {
		base := filepath.Base(file)
		if base == name || strings.HasPrefix(base, ".") || strings.HasSuffix(base, ".codegen.yaml") {
			continue // the contract itself, the rules of Spectral, the settings of the generator
		}
		spec, err := Load(file)
		if err != nil {
			return nil, err
		}
		others = append(others, spec)
	}
	return others, nil
}
