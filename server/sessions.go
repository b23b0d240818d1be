package server

import (
	"encoding/json"
	"fmt"

	"gatehouse/contract"
	"gatehouse/internal/jsonschema"
)

// GatewaySessions returns a function that converts a valid session into the form that gateways decode: the published
// examples, and clients that follow them, write integers as floats (1.0, 1.7e9), which gateways refuse.
func GatewaySessions() (func(json.RawMessage) json.RawMessage, error) {
	known, err := LoadContract()
	if err != nil {
		return nil, err
	}
	return gatewaySessions(known)
}

func gatewaySessions(known *contract.Contract) (func(json.RawMessage) json.RawMessage, error) {
	sessions, err := jsonschema.Compile(known.Operation("createOrgKey").Body.Schema, jsonschema.Options{Integers: true})
	if err != nil {
		return nil, fmt.Errorf("contract: sessions: %w", err)
	}
	return func(session json.RawMessage) json.RawMessage {
		result, err := sessions.Check(nil, session)
		if err != nil { // sessions are validated before they are stored
			return session
		}
		return result.Document
	}, nil
}
