package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"gatehouse/conformance"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
)

// contracts are the contracts of the API: they classify requests and responses.
type contracts struct {
	spec  *conformance.Spec
	paths []*regexp.Regexp // of spec.Operations
}

func loadContracts() (*contracts, error) {
	var documents [][]byte
	for _, get := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON} {
		document, err := get()
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	spec, err := conformance.ParseSpec(documents...)
	if err != nil {
		return nil, err
	}
	c := &contracts{spec: spec}
	parameter := regexp.MustCompile(`\\\{[^}]*\\\}`)
	for _, op := range spec.Operations {
		pattern := parameter.ReplaceAllString(regexp.QuoteMeta(op.Path), `[^/]+`)
		c.paths = append(c.paths, regexp.MustCompile("^"+pattern+"$"))
	}
	return c, nil
}

// operation returns the operation of a request. A path without parameters has precedence.
func (c *contracts) operation(method, path string) *conformance.Operation {
	var found *conformance.Operation
	for i, op := range c.spec.Operations {
		if op.Method != method || !c.paths[i].MatchString(path) {
			continue
		}
		if found == nil || strings.Count(op.Path, "{") < strings.Count(found.Path, "{") {
			found = op
		}
	}
	return found
}

// isWrite reports whether an operation may change something.
func isWrite(op *conformance.Operation) bool {
	return op.Method != http.MethodGet && op.Method != http.MethodHead
}

// uncertain reports whether a request with this error response may have taken effect: the server or the gateway
// failed.
func (c *contracts) uncertain(op *conformance.Operation, status int, body []byte) bool {
	if op == nil || status >= http.StatusInternalServerError && !c.hasOutcome(op, status) {
		return true
	}
	var got struct{ Message string }
	_ = json.Unmarshal(body, &got) // a body that is no JSON has no message
	for _, each := range op.Responses {
		failure := each.Outcome == "failed" || each.Outcome == "gateway"
		if failure && each.Status == status && sameMessage(each, got.Message) {
			return true
		}
	}
	return false
}

// hasOutcome reports whether the operation declares a response with this status.
func (c *contracts) hasOutcome(op *conformance.Operation, status int) bool {
	for _, each := range op.Responses {
		if each.Status == status {
			return true
		}
	}
	return false
}

// sameMessage reports whether a message is that of a response, but for the part that varies.
func sameMessage(r *conformance.Response, message string) bool {
	example, _ := r.Example.(map[string]any)
	want, _ := example["Message"].(string)
	before, _, varies := strings.Cut(want, r.Varies)
	if r.Varies == "" || !varies {
		return message == want
	}
	return strings.HasPrefix(message, before)
}
