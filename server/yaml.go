package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"gatehouse/apiserver"
	"gatehouse/internal/oas"
)

// mediaYAML is the media type of YAML in the contracts.
const mediaYAML = "application/x-yaml"

// yamlValueMemory is the memory in bytes that parsing a value of YAML takes at most: it is parsed to a tree of nodes
// first.
const yamlValueMemory = 1000

// fromYAML reads the bodies for which the contract declares YAML.
var fromYAML = apiserver.Conversion{Applies: isYAML, Convert: yamlToJSON, ValueMemory: yamlValueMemory}

// asksForYAML reports whether a header names YAML, by any of its media types.
func asksForYAML(header string) bool { return strings.Contains(strings.ToLower(header), "yaml") }

// isYAML reports whether a body is to be read as YAML, which includes JSON. Clients send YAML with any Content-Type, or
// none: only what begins as an object of JSON, and is not said to be YAML, is JSON for certain.
func isYAML(raw []byte, contentType string) bool {
	text := bytes.TrimLeft(bytes.TrimPrefix(raw, []byte("\ufeff")), " \t\r\n")
	return !bytes.HasPrefix(text, []byte("{")) || asksForYAML(contentType) && !json.Valid(text)
}

// yamlToJSON returns a YAML body as JSON.
func yamlToJSON(raw []byte) ([]byte, error) {
	converted, err := oas.FromYAML(raw)
	if fault, ok := errors.AsType[*oas.Error](err); ok {
		return nil, apiserver.MalformedAt(fault.Pointer, fault.Message, err)
	}
	return converted, err
}
