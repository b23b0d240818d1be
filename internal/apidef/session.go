package apidef

import (
	"encoding/json"
	"errors"
	"fmt"

	"gatehouse/contract"
	"gatehouse/internal/jsonschema"
)

// GatewaySession returns a function that converts a valid session into the form that gateways decode: the published
// examples, and clients that follow them, write integers as floats (1.0, 1.7e9), which gateways refuse. The schema is
// that of the operation createOrgKey.
func GatewaySession(known *contract.Contract) (func(json.RawMessage) json.RawMessage, error) {
	op := known.Operation("createOrgKey")
	if op == nil || op.Body == nil {
		return nil, errors.New("contract: no createOrgKey")
	}
	session, err := op.Body.Strict()
	var sessions *jsonschema.Schema
	if err == nil {
		sessions, err = session.With(jsonschema.Options{Integers: true})
	}
	if err != nil {
		return nil, fmt.Errorf("contract: %s: %w", op.ID, err)
	}
	return func(session json.RawMessage) json.RawMessage {
		result, err := sessions.Check(nil, session)
		if err != nil { // sessions are validated before they are stored
			return session
		}
		return result.Document
	}, nil
}
