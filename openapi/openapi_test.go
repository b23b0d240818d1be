// Package openapi_test checks the contracts: their rules, and that they break neither the published contracts nor their
// own earlier versions without a reason.
package openapi_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/openapi/lint"
)

var contracts = []string{"admin.yaml", "dashboard.yaml", "node.yaml"}

// TestContracts checks the contracts as the first step of go generate does. Package lint tests each rule.
func TestContracts(t *testing.T) {
	t.Parallel()
	problems, err := lint.Check(contracts...)
	require.NoError(t, err)
	for _, problem := range problems {
		t.Error(problem)
	}
}

// TestContractsWithSpectral checks the contracts with the rules of .spectral.yaml, as make lint-contract does.
func TestContractsWithSpectral(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, lint.Spectral)
	problems, err := lint.RunSpectral(t.Context(), ".", contracts...)
	require.NoError(t, err)
	for _, problem := range problems {
		t.Error(problem)
	}
}

// TestSpelling finds each line that spells organisation with a z.
func TestSpelling(t *testing.T) {
	t.Parallel()
	for _, path := range contracts {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for i, line := range strings.Split(string(text), "\n") {
			assert.NotContains(t, strings.ToLower(line), "organiz", "%s:%d: organisation is written with an s", path, i+1)
		}
	}
}

// operation is an operation with its method and path.
type operation struct {
	*openapi3.Operation
	method, path string
}

func (op operation) String() string { return op.method + " " + op.path }

// operations lists the operations of a contract by path and method.
func operations(spec *openapi3.T) []operation {
	var all []operation
	for path, item := range spec.Paths.Map() {
		for method, declared := range item.Operations() {
			all = append(all, operation{declared, method, path})
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}
