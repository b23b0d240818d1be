package conformance

import (
	"fmt"
	"maps"
	"path"
	"strings"

	"go.yaml.in/yaml/v4"
)

// operation returns an operation of the contract, and reports one that does not exist.
func (l *loader) operation(at *yaml.Node, id string) *Operation {
	op := l.suite.Spec.Operation(id)
	if op == nil {
		l.reportf(at, "the contract has no operation %q%s", id, suggest(id, maps.Keys(l.suite.Spec.byID)))
	}
	return op
}

// steps reads what is done before a call: fixtures by name, and calls.
func (l *loader) steps(n *yaml.Node) []step {
	if n.Kind != yaml.SequenceNode {
		l.reportf(n, "expected a list of fixtures and calls")
		return nil
	}
	steps := []step{}
	for _, each := range n.Content {
		if each.Kind == yaml.ScalarNode {
			steps = append(steps, step{fixture: each.Value})
			l.uses = append(l.uses, fixtureUse{each.Value, l.position(each)})
		} else if call := l.readCall(each, nil); call != nil {
			steps = append(steps, step{call: call})
		}
	}
	return steps
}

// readCall reads a call that names its operation; nil if that does not exist. more are keys beside those of a call.
func (l *loader) readCall(n *yaml.Node, more fields) *Call {
	for key, value := range pairs(n) {
		if key.Value != "call" {
			continue
		}
		op := l.operation(value, value.Value)
		if op == nil {
			return nil
		}
		known := fields{"call": l.ignored, "why": l.ignored}
		maps.Copy(known, more)
		var call *Call
		var expected, gone *yaml.Node
		known["expect"] = func(n *yaml.Node) { expected = n }
		known["gone"] = func(n *yaml.Node) { gone = n }
		call = l.readCallOf(op, n, known)
		if expected != nil {
			l.text(&call.Outcome)(expected)
			l.requireOutcome(expected, op, call.Outcome)
		}
		if gone != nil {
			call.gone = l.texts(gone)
			for _, outcome := range call.gone {
				l.requireOutcome(gone, op, outcome)
			}
		}
		return call
	}
	l.reportf(n, "expected a call: an object with the key call")
	return nil
}

// readUndo reads the calls that undo another one: one, or a list of alternatives.
func (l *loader) readUndo(n *yaml.Node) (calls []*Call) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, each := range nodes {
		if call := l.readCall(each, nil); call != nil {
			calls = append(calls, call)
		}
	}
	return calls
}

func (l *loader) requireOutcome(at *yaml.Node, op *Operation, outcome string) {
	if op.Response(outcome) == nil {
		l.reportf(at, "%s documents no outcome %q%s", op.ID, outcome, suggest(outcome, op.outcomes()))
	}
}

// readKind reads the scenario of a kind for an operation that declares none. A fault of it, such as a parameter
// that the operation does not have, is mended by a scenario of the operation's own.
func (l *loader) readKind(op *Operation, outcome *Response, kind *yaml.Node) *Scenario {
	l.file = commonFile
	known := len(l.problems)
	s := l.readScenario(op, outcome, kind)
	for i := range l.problems[known:] {
		l.problems[known+i].Message += fmt.Sprintf(": if the kind does not fit, add %s below %s in %s",
			outcome.Outcome, op.ID, path.Join(l.dir, FileOf(op.Tag)))
	}
	return s
}

// readCallOf reads the request to an operation.
func (l *loader) readCallOf(op *Operation, n *yaml.Node, more fields) *Call {
	c := &Call{Operation: op, Position: l.position(n)}
	known := fields{
		"path":       func(n *yaml.Node) { c.path = l.pathParameters(op, n) },
		"query":      func(n *yaml.Node) { c.query = l.parameters(op, "query", n) },
		"header":     func(n *yaml.Node) { c.header = l.parameters(op, "header", n) },
		"body":       func(n *yaml.Node) { c.body = readPayload(n) },
		"set":        func(n *yaml.Node) { c.set = l.readEdits(n) },
		"without":    func(n *yaml.Node) { c.without = l.texts(n) },
		"credential": func(n *yaml.Node) { l.readCredential(c, n) },
		"as":         func(n *yaml.Node) { l.readRenames(c, n) },
		"retry":      l.boolean(&c.retry),
		"transfer": func(n *yaml.Node) {
			l.object(n, fields{
				"repeat": l.integer(&c.transfer.repeat), "stall": l.boolean(&c.transfer.stall),
				"announce": l.integer64(&c.transfer.announce),
			})
		},
	}
	maps.Copy(known, more)
	l.object(n, known)
	return c
}

// pathParameters reads the values of parameters of the path.
func (l *loader) pathParameters(op *Operation, n *yaml.Node) map[string]string {
	params := map[string]string{}
	l.entries(n, func(name string, key, value *yaml.Node) {
		l.requireParameter(op, "path", key)
		params[name] = value.Value
	})
	return params
}

// parameters reads the values of parameters: a text, a list of texts to send the parameter more than once, or null to
// leave it out.
func (l *loader) parameters(op *Operation, in string, n *yaml.Node) map[string][]string {
	params := map[string][]string{}
	l.entries(n, func(name string, key, value *yaml.Node) {
		l.requireParameter(op, in, key)
		params[name] = nil
		if value.Tag != nullTag {
			params[name] = l.texts(value)
		}
	})
	return params
}

func (l *loader) requireParameter(op *Operation, in string, at *yaml.Node) {
	if op.parameter(in, at.Value) == nil {
		l.reportf(at, "%s has no %s parameter %q", op.ID, in, at.Value)
	}
}

// readPayload reads a body: a text is sent as it is, anything else is encoded.
func readPayload(n *yaml.Node) *payload {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return &payload{raw: &n.Value}
	}
	return &payload{value: jsonValue(n)}
}

func (l *loader) readEdits(n *yaml.Node) []edit {
	var edits []edit
	l.entries(n, func(pointer string, key, value *yaml.Node) {
		if !strings.HasPrefix(pointer, "/") {
			l.reportf(key, "%q is not a JSON pointer, such as /org_id", pointer)
		}
		edits = append(edits, edit{pointer, jsonValue(value)})
	})
	return edits
}

func (l *loader) readCredential(c *Call, n *yaml.Node) {
	l.text(&c.credential)(n)
	switch {
	case c.credential == credentialNone, c.credential == credentialWrong, isResponseReference(c.credential):
	case l.suite.values[c.credential] == nil:
		l.reportf(n, "unknown credential %q: expected none, wrong, or the name of a value", c.credential)
	}
}

func (l *loader) readRenames(c *Call, n *yaml.Node) {
	l.textMap(&c.as)(n)
	for from, to := range c.as {
		for _, name := range []string{from, to} {
			if l.suite.values[name] == nil {
				l.reportf(n, "unknown value %q%s", name, suggest(name, maps.Keys(l.suite.values)))
			}
		}
	}
}
