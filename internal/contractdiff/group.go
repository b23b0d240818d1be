package contractdiff

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// manyOperations is the number of operations from which a change of what they share is reported once.
const manyOperations = 3

// changeGroup is one change that was found in several responses: those of one operation, or of operations that share a
// component.
type changeGroup struct {
	changes    []Change
	operations []string // their headings, each once, in order
	names      []string // their IDs or, without one, headings
	statuses   []string // each once, in order
}

// status matches the status of a response in the text of a change.
var status = regexp.MustCompile("`([1-5][0-9X]{2})`")

// group joins the changes that differ in status only and, if they are in the same place of the contract, in operation.
// Those of many operations come first; the order is that of the changes otherwise.
func group(changes []Change) []*changeGroup {
	var groups []*changeGroup
	shared := map[Change]*changeGroup{}
	for _, change := range changes {
		key := Change{Check: change.Check, File: change.File, Line: change.Line}
		key.Text = status.ReplaceAllString(change.Text, "`…`")
		if change.Line == 0 {
			key.Method, key.Path = change.Method, change.Path
		}
		if shared[key] == nil {
			shared[key] = &changeGroup{}
			groups = append(groups, shared[key])
		}
		shared[key].add(change)
	}
	var split []*changeGroup
	for _, g := range groups {
		split = append(split, g.byOperation()...)
	}
	slices.SortStableFunc(split, func(a, b *changeGroup) int {
		return cmp.Or(-compareBools(a.isShared(), b.isShared()), a.compareHeading(b))
	})
	return split
}

func (g *changeGroup) add(change Change) {
	g.changes = append(g.changes, change)
	if heading := change.heading(); !slices.Contains(g.operations, heading) {
		g.names = append(g.names, cmp.Or(change.OperationID, heading))
		g.operations = append(g.operations, heading)
	}
	if found := status.FindStringSubmatch(change.Text); found != nil && !slices.Contains(g.statuses, found[1]) {
		g.statuses = append(g.statuses, found[1])
		slices.Sort(g.statuses)
	}
}

// isShared reports whether the change is one of many operations.
func (g *changeGroup) isShared() bool { return len(g.operations) >= manyOperations }

// byOperation returns a group for each operation, or the group itself if it has many.
func (g *changeGroup) byOperation() []*changeGroup {
	if g.isShared() {
		return []*changeGroup{g}
	}
	groups := make([]*changeGroup, len(g.operations))
	for i, operation := range g.operations {
		groups[i] = &changeGroup{}
		for _, change := range g.changes {
			if change.heading() == operation {
				groups[i].add(change)
			}
		}
	}
	return groups
}

func (g *changeGroup) compareHeading(other *changeGroup) int {
	a, b := g.changes[0], other.changes[0]
	if g.isShared() && other.isShared() {
		return 0
	}
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
}

func (g *changeGroup) heading() string {
	if g.isShared() {
		return "several operations"
	}
	return g.operations[0]
}

// text returns the words of the change with all its statuses.
func (g *changeGroup) text() string {
	if len(g.statuses) == 0 {
		return g.changes[0].Text
	}
	return status.ReplaceAllLiteralString(g.changes[0].Text, "`"+strings.Join(g.statuses, "`, `")+"`")
}
