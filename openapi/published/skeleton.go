// Package published reduces published OpenAPI 3.0 documents to facts about the interface, with which the contracts are
// compared.
package published

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	lineWidth  = 100
	extensions = "x-"
	reference  = "$ref"
)

// Skeleton returns the paths, methods, parameters, statuses, property names, types and constraints of an OpenAPI 3.0
// document. It leaves out prose, examples, tags, servers, extensions, comments and the order of keys. It returns an
// error for a keyword that it does not know, as leaving that out could lose a fact.
func Skeleton(document []byte) ([]byte, error) {
	var source yaml.Node
	if err := yaml.Load(document, &source); err != nil {
		return nil, err
	}
	if source.Kind != yaml.DocumentNode || source.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("not an OpenAPI document: the file is not an object")
	}
	reduced, err := openAPI.reduce(source.Content[0])
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	dumper, err := yaml.NewDumper(&out, yaml.WithFlowSimpleCollections(), yaml.WithLineWidth(lineWidth),
		yaml.WithCompactSeqIndent(false))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(dumper.Dump(reduced), dumper.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// shape says what to keep in one place of a document. Scalars, and everything if neither fields nor each is set, are
// kept as they are.
type shape struct {
	// fields are the keywords of an object, in the order in which they are written.
	fields []field
	// each is the shape of the values of an object whose keys are free, or of the elements of a list.
	each *shape
	// stub replaces prose that OpenAPI requires by text.
	stub bool
	text string
}

// field is a keyword. What it holds is left out if shape is nil.
type field struct {
	name  string
	shape *shape
}

// reduce returns a copy of node without what s leaves out.
func (s *shape) reduce(node *yaml.Node) (*yaml.Node, error) {
	switch {
	case node.Kind == yaml.ScalarNode || s.fields == nil && s.each == nil:
		return plain(node), nil
	case node.Kind == yaml.SequenceNode && s.each != nil:
		return s.reduceList(node)
	case s.each != nil:
		return s.reduceMap(node)
	default:
		return s.reduceObject(node)
	}
}

func (s *shape) reduceObject(node *yaml.Node) (*yaml.Node, error) {
	members, err := membersOf(node)
	if err != nil {
		return nil, err
	}
	out := &yaml.Node{Kind: yaml.MappingNode}
	if target := members[reference]; target != nil && target.Kind == yaml.ScalarNode {
		appendMember(out, reference, plain(target)) // OpenAPI 3.0 ignores what is beside it
		return out, nil
	}
	for _, f := range s.fields {
		value := members[f.name]
		delete(members, f.name)
		switch {
		case f.shape != nil && f.shape.stub:
			appendMember(out, f.name, stringNode(f.shape.text))
		case f.shape != nil && value != nil:
			kept, err := f.shape.reduce(value)
			if err != nil {
				return nil, err
			}
			appendMember(out, f.name, kept)
		}
	}
	for name, value := range members {
		if !strings.HasPrefix(name, extensions) {
			return nil, fmt.Errorf("line %d: unknown keyword %q", value.Line, name)
		}
	}
	return out, nil
}

// reduceMap writes the keys in alphabetical order.
func (s *shape) reduceMap(node *yaml.Node) (*yaml.Node, error) {
	members, err := membersOf(node)
	if err != nil {
		return nil, err
	}
	out := &yaml.Node{Kind: yaml.MappingNode}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		kept, err := s.each.reduce(members[name])
		if err != nil {
			return nil, err
		}
		appendMember(out, name, kept)
	}
	return out, nil
}

func (s *shape) reduceList(node *yaml.Node) (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.SequenceNode}
	for _, element := range node.Content {
		kept, err := s.each.reduce(element)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, kept)
	}
	return out, nil
}

// plain returns a copy without comments, style and position.
func plain(node *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: node.Kind, Tag: node.Tag, Value: node.Value}
	for _, child := range node.Content {
		out.Content = append(out.Content, plain(child))
	}
	return out
}

func stringNode(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

func appendMember(object *yaml.Node, name string, value *yaml.Node) {
	object.Content = append(object.Content, stringNode(name), value)
}

// membersOf returns the members of an object by name.
func membersOf(node *yaml.Node) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: expected an object", node.Line)
	}
	members := map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		members[node.Content[i].Value] = node.Content[i+1]
	}
	return members, nil
}
