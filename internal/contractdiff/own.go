package contractdiff

import (
	"fmt"
	"maps"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// The checks of what oasdiff does not know: permissions, and the named examples that are outcomes
// (openapi/README.md#examples-are-outcomes).
const (
	checkPermissionTightened = "permission-tightened"
	checkPermissionRelaxed   = "permission-relaxed"
	checkOutcomeAdded        = "outcome-added"
	checkOutcomeRemoved      = "outcome-removed"
	checkOutcomeStatus       = "outcome-status-changed"
	checkOutcomeMessage      = "outcome-message-changed"
)

// operation is an operation with its place in a contract.
type operation struct {
	*openapi3.Operation

	method, path string
}

// operationsOf returns the operations of a contract by method and path; what path parameters are called is left out.
func operationsOf(spec *openapi3.T) map[string]operation {
	all := map[string]operation{}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			all[method+" "+pathParameter.ReplaceAllString(path, "{}")] = operation{op, method, path}
		}
	}
	return all
}

// compareOwn returns the changes of permissions and outcomes of the operations that both contracts have.
func compareOwn(before, after *openapi3.T) []Change {
	var changes []Change
	olds := operationsOf(before)
	for key, op := range operationsOf(after) {
		if old, ok := olds[key]; ok {
			changes = append(changes, comparePermissions(old, op)...)
			changes = append(changes, compareOutcomes(old, op)...)
		}
	}
	return changes
}

func (op operation) change(check string, at *openapi3.Origin, text string) Change {
	c := Change{Check: check, Method: op.method, Path: op.path, OperationID: op.OperationID, Text: text}
	if at == nil {
		at = op.Origin
	}
	if at != nil && at.Key != nil {
		c.File, c.Line = at.Key.File, at.Key.Line
	}
	return c
}

// permission is the value of x-permission. Its zero value lets every active user call the operation.
type permission struct {
	object, level string
	self          bool
}

func permissionOf(op operation) permission {
	fields, _ := op.Extensions["x-permission"].(map[string]any)
	object, _ := fields["object"].(string)
	level, _ := fields["level"].(string)
	self, _ := fields["self"].(bool)
	return permission{object, level, self}
}

func (p permission) String() string {
	switch {
	case p.object == "":
		return "no permission"
	case p.self:
		return fmt.Sprintf("`%s: %s`, or one's own", p.object, p.level)
	default:
		return fmt.Sprintf("`%s: %s`", p.object, p.level)
	}
}

// allows reports whether everybody whom other admits is admitted by p.
func (p permission) allows(other permission) bool {
	return p.object == "" ||
		p.object == other.object && (p.level == "read" || p.level == other.level) && (p.self || !other.self)
}

func comparePermissions(old, op operation) []Change {
	was, is := permissionOf(old), permissionOf(op)
	if was == is {
		return nil
	}
	change := op.change(checkPermissionRelaxed, nil, fmt.Sprintf("needs %s instead of %s", is, was))
	if !is.allows(was) {
		change.Check, change.Breaking = checkPermissionTightened, true
	}
	return []Change{change}
}

// outcome is a named example of a response.
type outcome struct {
	status, message string
	at              *openapi3.Origin
}

// outcomesOf returns the named examples of an operation's responses, by name and status. A name has one status, unless
// the examples are not outcomes, as in the contracts of others.
func outcomesOf(op operation) map[string]map[string]outcome {
	named := map[string]map[string]outcome{}
	for status, response := range op.Responses.Map() {
		for _, mediaType := range slices.Sorted(maps.Keys(response.Value.Content)) {
			for name, example := range response.Value.Content[mediaType].Examples {
				value, _ := example.Value.Value.(map[string]any)
				message, _ := value["Message"].(string)
				if named[name] == nil {
					named[name] = map[string]outcome{}
				}
				named[name][status] = outcome{status, message, example.Value.Origin}
			}
		}
	}
	return named
}

func compareOutcomes(old, op operation) []Change {
	were, are := outcomesOf(old), outcomesOf(op)
	if len(were) == 0 {
		return nil // the contract has no named examples, and so no outcomes
	}
	names := map[string]bool{}
	for _, all := range []map[string]map[string]outcome{were, are} {
		for name := range all {
			names[name] = true
		}
	}
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		changes = append(changes, compareOutcome(op, name, were[name], are[name])...)
	}
	return changes
}

// compareOutcome compares what has one name, by status.
func compareOutcome(op operation, name string, were, are map[string]outcome) []Change {
	if len(were) == 1 && len(are) == 1 {
		was, is := were[slices.Collect(maps.Keys(were))[0]], are[slices.Collect(maps.Keys(are))[0]]
		if was.status != is.status {
			change := op.change(checkOutcomeStatus, is.at,
				fmt.Sprintf("the outcome `%s` has the status `%s` instead of `%s`", name, is.status, was.status))
			change.Breaking = true
			return []Change{change}
		}
	}
	var changes []Change
	for _, status := range slices.Sorted(maps.Keys(are)) {
		is := are[status]
		switch was, existed := were[status]; {
		case !existed:
			changes = append(changes, op.change(checkOutcomeAdded, is.at,
				fmt.Sprintf("added the outcome `%s` with the status `%s`", name, is.status)))
		case was.message != is.message:
			changes = append(changes, op.change(checkOutcomeMessage, is.at,
				fmt.Sprintf("the outcome `%s` has the message %q instead of %q", name, is.message, was.message)))
		}
	}
	for _, status := range slices.Sorted(maps.Keys(were)) {
		if _, left := are[status]; !left {
			changes = append(changes, op.change(checkOutcomeRemoved, nil,
				fmt.Sprintf("removed the outcome `%s` with the status `%s`", name, status)))
		}
	}
	return changes
}
