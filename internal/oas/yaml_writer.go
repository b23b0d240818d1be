package oas

import (
	"bytes"
	"errors"
	"regexp"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"
)

const (
	// yamlPiece is the size in bytes of the pieces of a JSON document that are converted to YAML one after another.
	yamlPiece = 16 << 10
	// yamlTree is how much larger the encoder's tree of a piece is than the piece, if that has short values.
	yamlTree = 500
	// yamlCopies is how many copies of a document its YAML takes while it grows.
	yamlCopies = 4
)

// YAMLMemory returns the memory in bytes that ToYAML takes for a document of a size in bytes at most.
func YAMLMemory(size int) int { return yamlCopies*size + yamlTree*min(size, yamlPiece) }

var errNotJSON = errors.New("oas: not JSON")

// ToYAML returns a JSON document as YAML, with its members in their order.
func ToYAML(document []byte) ([]byte, error) { return toYAML(document, yamlPiece) }

func toYAML(document []byte, piece int) ([]byte, error) {
	if !gjson.ValidBytes(document) {
		return nil, errNotJSON
	}
	w := yamlWriter{piece: piece}
	err := w.write(gjson.ParseBytes(document), "")
	return w.yaml.Bytes(), err
}

// yamlWriter writes JSON values as YAML.
type yamlWriter struct {
	yaml  bytes.Buffer
	piece int // as yamlPiece
}

// isLarge reports whether a value has to be divided.
func (w *yamlWriter) isLarge(v gjson.Result) bool {
	return len(v.Raw) > w.piece && (v.IsObject() || v.IsArray())
}

// write writes a value. Each line begins with indent.
func (w *yamlWriter) write(v gjson.Result, indent string) (err error) {
	if !w.isLarge(v) {
		return w.encode(nodeOf(v), indent)
	}
	begin, size, piece := w.yaml.Len(), 0, emptyNode(v)
	v.ForEach(func(name, value gjson.Result) bool {
		if len(piece.Content) > 0 && (w.isLarge(value) || size > w.piece) {
			err = w.encode(piece, indent)
			size, piece = 0, emptyNode(v)
		}
		if v.IsObject() {
			piece.Content = append(piece.Content, textNode(textOf(name)))
		}
		switch {
		case err != nil:
		case w.isLarge(value):
			err = w.writeBelow(piece, value, indent)
			piece = emptyNode(v)
		default:
			size += len(name.Raw) + len(value.Raw)
			piece.Content = append(piece.Content, nodeOf(value))
		}
		return err == nil
	})
	if err == nil && (len(piece.Content) > 0 || w.yaml.Len() == begin) {
		err = w.encode(piece, indent)
	}
	return err
}

// writeBelow writes a value as the only one of parent, which has its name if that is an object.
func (w *yamlWriter) writeBelow(parent *yaml.Node, value gjson.Result, indent string) error {
	const placeholder = "0"
	parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: placeholder})
	text, err := yaml.Dump(parent)
	if err != nil {
		return err
	}
	w.writeLines(append(bytes.TrimSuffix(text, []byte(" "+placeholder+"\n")), '\n'), indent)
	return w.write(value, indent+"  ")
}

// encode writes a node.
func (w *yamlWriter) encode(node *yaml.Node, indent string) error {
	text, err := yaml.Dump(node, yaml.WithIndent(2))
	w.writeLines(text, indent)
	return err
}

func (w *yamlWriter) writeLines(text []byte, indent string) {
	for line := range bytes.Lines(text) {
		if len(line) > 1 {
			w.yaml.WriteString(indent)
		}
		w.yaml.Write(line)
	}
}

// emptyNode returns a node for elements or members of a value.
func emptyNode(v gjson.Result) *yaml.Node {
	if v.IsObject() {
		return &yaml.Node{Kind: yaml.MappingNode}
	}
	return &yaml.Node{Kind: yaml.SequenceNode}
}

func nodeOf(v gjson.Result) *yaml.Node {
	switch {
	case v.IsObject():
		node := emptyNode(v)
		for name, member := range membersOf(v) {
			node.Content = append(node.Content, textNode(name), nodeOf(member))
		}
		return node
	case v.IsArray():
		node := emptyNode(v)
		for _, element := range elements(v) {
			node.Content = append(node.Content, nodeOf(element))
		}
		return node
	case v.Type == gjson.String:
		return textNode(textOf(v))
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: v.Raw}
}

// oldYAML matches texts that readers of YAML 1.1 take for another type: booleans, numbers of base 60, and the default
// value. They are quoted.
var oldYAML = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|=|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)$`)

func textNode(s string) *yaml.Node {
	node := &yaml.Node{}
	node.SetString(s)
	if oldYAML.MatchString(s) {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
