package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/contract"
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
	more func(captured [][]byte) contract.Problem
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

func newLoadable(known *contract.Contract, depth int) (*loadable, error) {
	apis, policies := known.Operation("importAPIs"), known.Operation("importPolicies")
	if apis == nil || policies == nil {
		return nil, errors.New("contract: no importAPIs or importPolicies")
	}
	sum := sha256.Sum256(append([]byte(checkVersion), apis.SpecDigest[:]...))
	l := &loadable{name: hex.EncodeToString(sum[:8])}
	var apiErr, policyErr error
	l.apis, apiErr = newDocumentCheck(apis, depth, apiMore, [][]string{
		apiDefinition: {"api_definition"}, apiID: {"api_definition", "api_id"}, apiDatabaseID: {"api_definition", "id"},
		apiOrgID: {"api_definition", "org_id"}, apiActive: {"api_definition", "active"},
	})
	l.policies, policyErr = newDocumentCheck(policies, depth, nil, [][]string{
		policyDatabaseID: {"_id"}, policyID: {"id"}, policyOrgID: {"org_id"},
	})
	return l, errors.Join(apiErr, policyErr)
}

func newDocumentCheck(op *contract.Operation, depth int, more func([][]byte) contract.Problem, capture [][]string) (*documentCheck, error) {
	if op.Body == nil || op.Body.Element == nil {
		return nil, errors.New("contract: an import without x-each")
	}
	arrive, err := schema.Compile(op.Body.Element, schema.Options{Capture: capture, Depth: depth})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op.ID, err)
	}
	stored, err := schema.Compile(op.Body.Element, schema.Options{Capture: capture, Nulls: true, Depth: decodedDepth})
	return &documentCheck{arrive: arrive, stored: stored, reference: op.Body.Element, more: more}, err
}

// apiMore: without an api_definition a gateway crashes (facts gateway §0.4).
func apiMore(captured [][]byte) contract.Problem {
	if def := captured[apiDefinition]; len(def) == 0 || def[0] != '{' {
		return contract.Problem{Path: "/api_definition", Reason: "is missing"}
	}
	return contract.Problem{}
}

// arriving checks a document that is to be imported; the error is a schema.ErrSyntax. buffer is where its compact form goes.
func (d *documentCheck) arriving(buffer, raw []byte) (schema.Result, []contract.Problem, error) {
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
		return result, []contract.Problem{{Reason: "a number is out of range"}}, nil //nolint:nilerr // what is wrong with a document is no error
	}
	if problems := contract.CheckValue(d.reference, value); problems != nil {
		return result, problems, nil
	}
	return result, []contract.Problem{{Path: result.Problem.Pointer, Reason: result.Problem.Reason}}, nil
}

func (d *documentCheck) others(result schema.Result) []contract.Problem {
	if d.more != nil {
		if p := d.more(result.Captured); p != (contract.Problem{}) {
			return []contract.Problem{p}
		}
	}
	return nil
}

// problems tells what in a stored document a gateway could not decode; nil is nothing.
func (d *documentCheck) problems(doc []byte) []contract.Problem {
	result, err := d.stored.Check(nil, doc)
	switch {
	case string(result.Document) == "null":
		return []contract.Problem{{Reason: "is null"}}
	case err != nil:
		return []contract.Problem{{Reason: err.Error()}}
	case result.Problem != nil:
		return []contract.Problem{{Path: result.Problem.Pointer, Reason: result.Problem.Reason}}
	}
	return d.others(result)
}
