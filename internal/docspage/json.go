package docspage

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v4"
)

// toJSON converts YAML to JSON, and keeps the order of keys.
func toJSON(text []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := appendJSON(&out, document.Content[0]); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func appendJSON(out *bytes.Buffer, node *yaml.Node) error {
	switch node.Kind {
	case yaml.MappingNode:
		return appendMembers(out, node.Content)
	case yaml.SequenceNode:
		return appendElements(out, node.Content)
	case yaml.ScalarNode:
		return appendScalar(out, node)
	default:
		return fmt.Errorf("line %d: neither an object, a list nor a value", node.Line)
	}
}

// appendMembers appends an object, in which keys and values alternate.
func appendMembers(out *bytes.Buffer, members []*yaml.Node) error {
	out.WriteByte('{')
	for i := 0; i+1 < len(members); i += 2 {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := appendValue(out, members[i].Value); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := appendJSON(out, members[i+1]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

func appendElements(out *bytes.Buffer, elements []*yaml.Node) error {
	out.WriteByte('[')
	for i, element := range elements {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := appendJSON(out, element); err != nil {
			return err
		}
	}
	out.WriteByte(']')
	return nil
}

// appendScalar appends a value. It keeps the digits of a number.
func appendScalar(out *bytes.Buffer, node *yaml.Node) error {
	tag := node.ShortTag()
	if tag == "!!str" || tag == "!!timestamp" {
		return appendValue(out, node.Value)
	}
	if json.Valid([]byte(node.Value)) {
		out.WriteString(node.Value)
		return nil
	}
	var value any
	if err := node.Decode(&value); err != nil {
		return err
	}
	return appendValue(out, value)
}

func appendValue(out *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the encoder ends with a newline
	return nil
}
