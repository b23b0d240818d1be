package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"gatehouse/contract"
	"gatehouse/server"
)

// outcomesPage is the page that has the outcomes of all operations.
const outcomesPage = "outcomes.md"

const outcomesHead = `# Outcomes

Each operation of the contracts, and the outcomes of each of its statuses. An outcome is the name of
an example of the response in ` + "`openapi/`" + `, of a scenario that makes it happen in
` + "`openapi/scenarios/`" + `, and of the ` + "`outcome`" + ` in the audit log. This page is generated from
the contracts.
`

// writeOutcomes writes the table of the outcomes of all operations, by status.
func writeOutcomes(path string) error {
	known, err := server.LoadContract()
	if err != nil {
		return err
	}
	operations := slices.SortedFunc(known.Operations(), func(a, b *contract.Operation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	statuses := map[int]bool{}
	for _, op := range operations {
		for _, response := range op.Responses {
			statuses[response.Status] = true
		}
	}
	columns := slices.Sorted(maps.Keys(statuses))
	page := &strings.Builder{}
	page.WriteString(outcomesHead)
	fmt.Fprintf(page, "\n%d operations, %d outcomes.\n\n| operation |", len(operations), countOutcomes(operations))
	for _, status := range columns {
		fmt.Fprintf(page, " %d |", status)
	}
	page.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, op := range operations {
		fmt.Fprintf(page, "| `%s %s` |", op.Method, op.Path)
		for _, status := range columns {
			fmt.Fprintf(page, " %s |", outcomesOf(op, status))
		}
		page.WriteString("\n")
	}
	const everybodyReads = 0o644
	return os.WriteFile(path, []byte(page.String()), everybodyReads)
}

func countOutcomes(operations []*contract.Operation) (n int) {
	for _, op := range operations {
		n += len(op.Responses)
	}
	return n
}

// outcomesOf returns the outcomes that a status of an operation has, sorted.
func outcomesOf(op *contract.Operation, status int) string {
	var names []string
	for outcome, response := range op.Responses {
		if response.Status == status {
			names = append(names, string(outcome))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
