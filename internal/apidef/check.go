// Package apidef knows what a Tyk Gateway decodes. It checks API definitions and policies, so that gateways are only
// sent what they can load, and extracts from them what they are searched by.
package apidef

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/contract"
	"gatehouse/internal/jsonschema"
)

// Problem is one thing that is wrong with a document.
type Problem = contract.Problem

// checkVersion is a part of Checks.Name. Increment it when the checks find more or less than before.
const checkVersion = "4"

// storedDepth is how deep a stored document may nest. Go's decoder, which gateways use, fails at 10,000 levels, of
// which the list around the documents takes a few.
const storedDepth = 9_000

// Checks check the documents that gateways load by the contract's schemas, taken strictly. A gateway decodes all
// documents as one list: a document that it cannot decode would keep it from loading any other, of any organisation
// (docs/behaviour.md#documents-a-gateway-cannot-decode).
type Checks struct {
	// Name identifies these checks. A document that was checked under another name has to be checked again.
	Name     string
	APIs     *Check
	Policies *Check
}

// NewChecks returns checks by the schemas of the operations importAPIs and importPolicies. depth is how deep a document
// may nest that is imported.
func NewChecks(known *contract.Contract, depth int) (*Checks, error) {
	apis, policies := known.Operation("importAPIs"), known.Operation("importPolicies")
	if apis == nil || policies == nil {
		return nil, errors.New("contract: no importAPIs or importPolicies")
	}
	sum := sha256.Sum256(append([]byte(checkVersion), apis.SpecDigest[:]...))
	checks := &Checks{
		Name: hex.EncodeToString(sum[:8]),
		APIs: &Check{idAt: apiID, extraProblems: requireDefinition}, Policies: &Check{idAt: policyDatabaseID},
	}
	apisErr := checks.APIs.compile(apis, apiPaths, depth)
	policiesErr := checks.Policies.compile(policies, policyPaths, depth)
	return checks, errors.Join(apisErr, policiesErr)
}

// Check checks documents of one kind. It is safe for concurrent use.
type Check struct {
	imported *jsonschema.Schema
	stored   *jsonschema.Schema // allows null everywhere: gateways take it for a missing value
	// reference is the schema for kin-openapi, whose error texts are better than those of imported.
	reference *openapi3.Schema
	idAt      int
	// extraProblems finds what the schema does not express. It may be nil.
	extraProblems func(Document) []Problem
}

func (c *Check) compile(op *contract.Operation, capture [][]string, depth int) error {
	if op.Body == nil || op.Body.Element == nil {
		return fmt.Errorf("contract: %s has no x-each list", op.ID)
	}
	c.reference = op.Body.Element
	imported := jsonschema.Options{Capture: capture, Depth: depth}
	stored := jsonschema.Options{Capture: capture, Depth: storedDepth, Nulls: true}
	var err error
	if c.imported, err = jsonschema.Compile(c.reference, imported); err == nil {
		c.stored, err = jsonschema.Compile(c.reference, stored)
	}
	if err != nil {
		return fmt.Errorf("contract: %s: %w", op.ID, err)
	}
	return nil
}

// Import checks a document before it is imported, and writes its compact form over buf. The error, a
// jsonschema.ErrSyntax, is that raw is not JSON.
func (c *Check) Import(buf, raw []byte) (Document, []Problem, error) {
	result, err := c.imported.Check(buf[:0], raw)
	if err != nil {
		return Document{}, nil, err
	}
	doc := newDocument(result, c.idAt)
	if result.Problem == nil {
		return doc, c.extra(doc), nil
	}
	// kin-openapi lists all problems. It finds none if only strictness does.
	var value any
	if err := json.Unmarshal(doc.JSON, &value); err != nil {
		return doc, []Problem{{Reason: "a number is out of range"}}, nil //nolint:nilerr // a problem
	}
	problems := contract.CheckValue(c.reference, value)
	if problems == nil {
		problems = []Problem{{Path: result.Problem.Pointer, Reason: result.Problem.Reason}}
	}
	return doc, problems, nil
}

// Stored returns what in a stored document keeps gateways from decoding it; nil if they can decode it.
func (c *Check) Stored(raw []byte) []Problem {
	result, err := c.stored.Check(nil, raw)
	switch {
	case string(result.Document) == "null":
		return []Problem{{Reason: "is null"}}
	case err != nil:
		return []Problem{{Reason: err.Error()}}
	case result.Problem != nil:
		return []Problem{{Path: result.Problem.Pointer, Reason: result.Problem.Reason}}
	}
	return c.extra(newDocument(result, c.idAt))
}

func (c *Check) extra(doc Document) []Problem {
	if c.extraProblems == nil {
		return nil
	}
	return c.extraProblems(doc)
}

// requireDefinition requires an api_definition, without which a gateway crashes.
func requireDefinition(doc Document) []Problem {
	if definition := doc.captured[apiDefinition]; len(definition) == 0 || definition[0] != '{' {
		return []Problem{{Path: "/api_definition", Reason: "is missing"}}
	}
	return nil
}
