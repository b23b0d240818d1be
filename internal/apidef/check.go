// Package apidef checks API definitions and policies as a Tyk Gateway decodes them, so that gateways are only
// sent what they can load, and extracts from them what they are searched by.
package apidef

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gatehouse/contract"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonschema"
)

// Problem is one thing that is wrong with a document.
type Problem = contract.Problem

// checkVersion is a part of Checks.Name. Increment it when the checks find more or less than before.
const checkVersion = "7"

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
		Name:     hex.EncodeToString(sum[:8]),
		APIs:     &Check{idAt: apiID, extraProblems: requireDefinition},
		Policies: &Check{idAt: policyDatabaseID, extraProblems: refuseEmbeddedPolicies, complete: grantAccess},
	}
	apisErr := checks.APIs.compile(apis, apiPaths, depth)
	policiesErr := checks.Policies.compile(policies, policyPaths, depth)
	return checks, errors.Join(apisErr, policiesErr)
}

// Check checks documents of one kind. It is safe for concurrent use.
type Check struct {
	imported *jsonschema.Schema
	stored   *jsonschema.Schema // allows null everywhere: gateways take it for a missing value
	exact    *jsonschema.Schema // like stored, and the names must be written as the schema has them
	idAt     int
	// extraProblems finds what the schema does not express. It may be nil.
	extraProblems func(Document) []Problem
	// complete returns a document as gateways need it, or nil if it is so already. It may be nil.
	complete func(Document) json.RawMessage
}

func (c *Check) compile(op *contract.Operation, capture [][]string, depth int) error {
	if op.Body == nil || op.Body.Element == nil {
		return fmt.Errorf("contract: %s has no x-each list", op.ID)
	}
	element, err := op.Body.Strict()
	if err == nil {
		c.imported, err = element.With(jsonschema.Options{Capture: capture, Depth: depth, Pairs: true})
	}
	if err == nil {
		c.stored, err = element.With(jsonschema.Options{Capture: capture, Depth: storedDepth, Nulls: true})
	}
	if err == nil {
		c.exact, err = element.With(jsonschema.Options{Depth: storedDepth, Nulls: true, ExactNames: true})
	}
	if err != nil {
		return fmt.Errorf("contract: %s: %w", op.ID, err)
	}
	return nil
}

// MisspeltNames returns the members of a document that gateways can decode whose names differ from a known one in case
// only. A gateway merges their values with those of the member that is meant, so that no look at one of them tells what
// it reads.
func (c *Check) MisspeltNames(doc json.RawMessage) []Problem {
	found, err := c.exact.Problems(doc)
	if err != nil {
		return []Problem{{Reason: err.Error()}}
	}
	if found == nil {
		return nil
	}
	return problemsOf(jsonschema.Result{Problems: found})
}

// Import checks a document before it is imported, and writes its compact form over buf. If a value that it captures is
// repeated, the last of repeated members counts, and is the only one in the document: a gateway would merge them. The
// error, a jsonschema.ErrSyntax, is that raw is not JSON.
func (c *Check) Import(buf, raw []byte) (Document, []Problem, error) {
	result, err := c.imported.Check(buf[:0], raw)
	if err == nil && result.Repeated {
		var once json.RawMessage
		if once, err = jsondoc.Compact(raw); err == nil {
			result, err = c.imported.Check(buf[:0], once)
		}
	}
	if err != nil {
		return Document{}, nil, err
	}
	doc := newDocument(result, c.idAt)
	if result.Problems == nil {
		return doc, c.extra(doc), nil
	}
	return doc, problemsOf(result), nil
}

func problemsOf(result jsonschema.Result) []Problem {
	problems := make([]Problem, len(result.Problems))
	for i, p := range result.Problems {
		problems[i] = Problem{Path: p.Pointer, Reason: p.Reason}
	}
	return problems
}

// Stored returns what in a stored document keeps gateways from decoding it, or nil if they can decode it. served is
// what Served returns for it.
func (c *Check) Stored(raw []byte) (served json.RawMessage, problems []Problem) {
	result, err := c.stored.Check(nil, raw)
	switch {
	case string(result.Document) == "null":
		return nil, []Problem{{Reason: "is null"}}
	case err != nil:
		return nil, []Problem{{Reason: err.Error()}}
	case result.Problems != nil:
		return nil, problemsOf(result)
	}
	doc := newDocument(result, c.idAt)
	return c.Served(doc), c.extra(doc)
}

// Served returns what gateways are given in place of a document, or nil if they are given the document.
func (c *Check) Served(doc Document) json.RawMessage {
	if c.complete == nil {
		return nil
	}
	served := c.complete(doc)
	if served == nil {
		return nil
	}
	result, err := c.stored.Check(nil, served)
	if err != nil || result.Problems != nil { // what it was completed with was never checked
		return nil
	}
	return result.Document
}

// grantAccess returns a policy with access_rights if it has access_rights_array only. Gateways do not read the latter:
// the keys of the policy would have access to nothing.
func grantAccess(doc Document) json.RawMessage {
	if !isEmpty(doc.captured[policyRights]) || isEmpty(doc.captured[policyRightsArray]) {
		return nil
	}
	return WithAccessRights(doc.JSON)
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

// refuseEmbeddedPolicies requires that the keys of a policy get no policies in their meta_data. A gateway merges the
// meta_data of a policy into that of its keys, and from then on applies the policies that it finds there in place of
// stored ones, of whatever organisation they say that they are.
func refuseEmbeddedPolicies(doc Document) []Problem {
	if name, embeds := EmbeddedPolicies(doc.captured[policyMetaData]); embeds {
		return []Problem{{
			Path:   contract.Pointer("meta_data", name),
			Reason: "is not allowed: gateways would apply these policies to keys in place of stored ones",
		}}
	}
	return nil
}

// EmbeddedPolicies reports whether meta_data, of a policy, a session or an OAuth client, has policies, and the name of
// the member that has them, whatever its case.
func EmbeddedPolicies(metaData json.RawMessage) (name string, embeds bool) {
	for _, m := range jsondoc.Members(metaData) {
		if strings.EqualFold(m.Name, "policies") && string(m.Value) != "null" {
			return m.Name, true
		}
	}
	return "", false
}
