package bundle

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

func readYAML(path string) (*yaml.Node, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if document.Kind != yaml.DocumentNode || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: %w", path, errNotObject)
	}
	return document.Content[0], nil
}

// pairs yields the keys and values of an object; nothing for another node.
func pairs(node *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if node == nil || node.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if !yield(node.Content[i], node.Content[i+1]) {
				return
			}
		}
	}
}

// member returns the value of a key; nil if node is not an object that has it.
func member(node *yaml.Node, name string) *yaml.Node {
	for key, value := range pairs(node) {
		if key.Value == name {
			return value
		}
	}
	return nil
}

func text(value string) *yaml.Node {
	node := &yaml.Node{}
	node.SetString(value)
	return node
}

func list(elements ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: elements}
}

// object returns an object of names and nodes that alternate. A node that is nil is left out with its name.
func object(members ...any) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for pair := range slices.Chunk(members, 2) {
		name, _ := pair[0].(string)
		if value, _ := pair[1].(*yaml.Node); value != nil {
			node.Content = append(node.Content, text(name), value)
		}
	}
	return node
}

// clone returns a deep copy without comments, and without the keys for the code of the server.
func clone(node *yaml.Node) *yaml.Node {
	copied := *node
	copied.HeadComment, copied.LineComment, copied.FootComment = "", "", ""
	copied.Content = nil
	if node.Kind == yaml.MappingNode {
		for key, value := range pairs(node) {
			if !isForGenerator(key.Value) {
				copied.Content = append(copied.Content, clone(key), clone(value))
			}
		}
		return &copied
	}
	for _, child := range node.Content {
		copied.Content = append(copied.Content, clone(child))
	}
	return &copied
}

// namesBelow are the keywords whose value, if it is an object, has names as its keys.
var namesBelow = []string{
	"callbacks", "content", "encoding", "examples", "headers", "links", "mapping", "parameters", "paths", "properties",
	"requestBodies", "responses", "schemas", "securitySchemes", "variables",
}

// values are the keywords whose value is any JSON, in which nothing is a reference.
var values = []string{"default", "enum", "example", "value"}

// walk calls visit with the value of each $ref in node. isNames tells that the keys of node are names instead of
// keywords.
func walk(node *yaml.Node, isNames bool, visit func(ref *yaml.Node) error) error {
	if node == nil {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		for _, child := range node.Content {
			if err := walk(child, false, visit); err != nil {
				return err
			}
		}
		return nil
	}
	for key, value := range pairs(node) {
		var err error
		switch {
		case isNames:
			err = walk(value, false, visit)
		case key.Value == "$ref" && value.Kind == yaml.ScalarNode:
			err = visit(value)
		case slices.Contains(values, key.Value) || strings.HasPrefix(key.Value, "x-"):
		default:
			err = walk(value, slices.Contains(namesBelow, key.Value) && value.Kind == yaml.MappingNode, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lineWidth is where lines of YAML are broken, as in the contracts.
const lineWidth = 100

// YAML encodes a bundle.
func YAML(node *yaml.Node) ([]byte, error) {
	return yaml.Dump(node, yaml.WithIndent(2), yaml.WithLineWidth(lineWidth))
}
