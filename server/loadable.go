package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/gen/admin"
)

// checkVersion is part of a check's name: a check that finds something else must not be taken for this one.
const checkVersion = "1"

// checker tells what in a document a Tyk Gateway could not decode.
type checker func(json.RawMessage) []problem

// loadable checks documents that gateways load, by the contract's schemas made strict. One that a gateway cannot decode
// would keep it from all others, of every organisation (facts gateway §0.5).
type loadable struct {
	// name tells this check from those of other versions of the contract.
	name           string
	apis, policies checker
}

func newLoadable(known contract) (*loadable, error) {
	spec, err := admin.GetSpecJSON()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte(checkVersion), spec...))
	l := &loadable{name: hex.EncodeToString(sum[:8])}
	l.apis = kinChecker(known["importAPIs"].body.element)
	l.policies = kinChecker(known["importPolicies"].body.element)
	return l, nil
}

func kinChecker(schema *openapi3.Schema) checker {
	return func(doc json.RawMessage) []problem {
		var v any
		if err := json.Unmarshal(doc, &v); err != nil {
			return []problem{{Reason: err.Error()}}
		}
		if err := schema.VisitJSON(v, schemaOptions...); err != nil {
			return problemsOf(err)
		}
		return nil
	}
}
