package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/gen/admin"
	"gatehouse/internal/schema"
)

// checkVersion is part of a check's name: a check that finds something else must not be taken for this one.
const checkVersion = "4"

// decodedDepth is how deep a document may nest that a gateway decodes in a list: a little less than Go's decoder reads.
const decodedDepth = 9_000

// loadable checks documents that gateways load, by the contract's schemas taken strictly. One that a gateway cannot decode
// would keep it from all others, of every organisation (facts gateway §0.5).
type loadable struct {
	// name tells this check from those of other versions of the contract.
	name           string
	apis, policies *documentCheck
}

// documentCheck checks one kind of documents.
type documentCheck struct {
	arrive *schema.Schema // what may be imported
	stored *schema.Schema // what a gateway can decode: null is nothing to it
	// reference is what kin-openapi checks by; it words what does not fit.
	reference *openapi3.Schema
	// more finds what the schema does not say; "" is nothing.
	more func(captured [][]byte) problem
}

// What is captured of an API, and of a policy.
const (
	apiDefinition = iota
	apiID
	apiDatabaseID
	apiOrgID
	apiActive
)

const (
	policyDatabaseID = iota
	policyID
	policyOrgID
)

func newLoadable(known contract, depth int) (*loadable, error) {
	spec, err := admin.GetSpecJSON()
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	sum := sha256.Sum256(append([]byte(checkVersion), spec...))
	l := &loadable{name: hex.EncodeToString(sum[:8])}
	var apiErr, policyErr error
	l.apis, apiErr = newDocumentCheck(known["importAPIs"], depth, apiMore, [][]string{
		apiDefinition: {"api_definition"}, apiID: {"api_definition", "api_id"}, apiDatabaseID: {"api_definition", "id"},
		apiOrgID: {"api_definition", "org_id"}, apiActive: {"api_definition", "active"},
	})
	l.policies, policyErr = newDocumentCheck(known["importPolicies"], depth, nil, [][]string{
		policyDatabaseID: {"_id"}, policyID: {"id"}, policyOrgID: {"org_id"},
	})
	return l, errors.Join(apiErr, policyErr)
}

func newDocumentCheck(op *operation, depth int, more func([][]byte) problem, capture [][]string) (*documentCheck, error) {
	if op == nil || op.body == nil || op.body.element == nil {
		return nil, errors.New("contract: an import without x-each")
	}
	arrive, err := schema.Compile(op.body.element, schema.Options{Capture: capture, Depth: depth})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op.id, err)
	}
	stored, err := schema.Compile(op.body.element, schema.Options{Capture: capture, Nulls: true, Depth: decodedDepth})
	return &documentCheck{arrive: arrive, stored: stored, reference: op.body.element, more: more}, err
}

// apiMore: without an api_definition a gateway crashes (facts gateway §0.4).
func apiMore(captured [][]byte) problem {
	if def := captured[apiDefinition]; len(def) == 0 || def[0] != '{' {
		return problem{Path: "/api_definition", Reason: "is missing"}
	}
	return problem{}
}

// arriving checks a document that is to be imported; the error is a schema.ErrSyntax. buffer is where its compact form goes.
func (d *documentCheck) arriving(buffer, raw []byte) (schema.Result, []problem, error) {
	result, err := d.arrive.Check(buffer, raw)
	if err != nil {
		return result, nil, err
	}
	if result.Problem == nil {
		return result, d.others(result), nil
	}
	// Strictness may be all that it does not meet; what else it does not meet, kin-openapi says better.
	var value any
	if err := json.Unmarshal(result.Document, &value); err != nil {
		return result, []problem{{Reason: "a number is out of range"}}, nil //nolint:nilerr // what is wrong with a document is no error
	}
	if err := d.reference.VisitJSON(value, schemaOptions...); err != nil {
		return result, problemsOf(err), nil
	}
	return result, []problem{{Path: result.Problem.Pointer, Reason: result.Problem.Reason}}, nil
}

func (d *documentCheck) others(result schema.Result) []problem {
	if d.more != nil {
		if p := d.more(result.Captured); p != (problem{}) {
			return []problem{p}
		}
	}
	return nil
}

// problems tells what in a stored document a gateway could not decode; nil is nothing.
func (d *documentCheck) problems(doc []byte) []problem {
	result, err := d.stored.Check(nil, doc)
	switch {
	case string(result.Document) == "null":
		return []problem{{Reason: "is null"}}
	case err != nil:
		return []problem{{Reason: err.Error()}}
	case result.Problem != nil:
		return []problem{{Path: result.Problem.Pointer, Reason: result.Problem.Reason}}
	}
	return d.others(result)
}
