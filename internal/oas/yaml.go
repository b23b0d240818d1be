package oas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"

	"gatehouse/internal/jsondoc"
)

// maxYAMLValues is how many values a YAML document may have after its aliases are replaced by what they stand for: as
// many as a JSON body. A few lines of aliases of aliases stand for billions.
const maxYAMLValues = 50_000

var errTooManyValues = &Error{Message: "the document has too many values"}

// maxYAMLSize is how large the JSON of a YAML document may be, in bytes, which an alias of a long text would exceed.
const maxYAMLSize = 16 << 20

const (
	// maxYAMLSeparators is how many separators of values a YAML document may have. A member has one or two, and prose has
	// a few. They are counted first, because the parser builds a tree of all nodes before any can be counted, and each
	// takes 500 bytes to a kilobyte: 150 MiB at most. Without it, a document of two megabytes takes 900 MiB.
	maxYAMLSeparators = 2 * maxYAMLValues
	// directiveSeparators is how many separators a directive (%TAG) counts as: the parser compares each with all others.
	directiveSeparators = 100
)

// yamlSeparators returns an upper bound of the characters of a YAML document that separate values, in any encoding that
// YAML has. Those in quotes, comments and blocks of text count, too.
func yamlSeparators(document []byte) (n int) {
	const end = ' '
	before := byte(end)
	for i, c := range document {
		after := byte(end)
		if i+1 < len(document) {
			after = document[i+1]
		}
		switch c {
		case ':', ',', '[', '{':
			n++
		case '-', '?':
			if isYAMLSpace(after) {
				n++
			}
		case '%':
			if isYAMLSpace(before) {
				n += directiveSeparators
			}
		}
		before = c
	}
	return n
}

// isYAMLSpace reports whether a byte may be of a space or a line break: also one that is not of ASCII, and the zero of
// UTF-16.
func isYAMLSpace(c byte) bool { return c <= ' ' || c >= utf8.RuneSelf }

// NotYAML begins the message of an error of the parser.
const NotYAML = "the document is not YAML: "

// FromYAML returns a YAML document as JSON, with its members in their order. The error is an *Error if the document is
// at fault.
func FromYAML(document []byte) ([]byte, error) {
	node, err := ParseYAML(document)
	if err != nil {
		return nil, err
	}
	return YAMLNodeToJSON(node)
}

// ParseYAML returns the nodes of a YAML document, if they are not too many. The error is an *Error.
func ParseYAML(document []byte) (*yaml.Node, error) {
	if yamlSeparators(document) > maxYAMLSeparators {
		return nil, errTooManyValues
	}
	var node yaml.Node
	if err := yaml.Load(document, &node); err != nil {
		return nil, &Error{Message: NotYAML + err.Error()}
	}
	return &node, nil
}

// ParsingMemory returns the memory in bytes that parsing a YAML document takes at most.
func ParsingMemory(document []byte) int {
	const perNode = 1000
	return perNode * min(yamlSeparators(document), maxYAMLSeparators)
}

// YAMLNodeToJSON returns what ParseYAML has returned as JSON. The error is an *Error.
func YAMLNodeToJSON(node *yaml.Node) ([]byte, error) {
	var out yamlReader
	if err := out.write(node); err != nil {
		return nil, err
	}
	return out.json.Bytes(), nil
}

// yamlReader writes the nodes of a YAML document as JSON.
type yamlReader struct {
	json   bytes.Buffer
	values int
}

func (r *yamlReader) write(node *yaml.Node) error {
	r.values++
	if r.values > maxYAMLValues || r.json.Len() > maxYAMLSize {
		return errTooManyValues
	}
	switch node.Kind {
	case yaml.DocumentNode:
		if len(node.Content) > 0 {
			return r.write(node.Content[0])
		}
	case yaml.AliasNode:
		return r.write(node.Alias)
	case yaml.MappingNode:
		return r.writeObject(node)
	case yaml.SequenceNode:
		return r.writeList(node)
	case yaml.ScalarNode:
		value, err := scalar(node)
		r.json.Write(value)
		return err
	case yaml.StreamNode: // of a parser, not of a document
	}
	return &Error{Message: "the document is empty"}
}

func (r *yamlReader) writeList(node *yaml.Node) error {
	r.json.WriteByte('[')
	for i, element := range node.Content {
		if i > 0 {
			r.json.WriteByte(',')
		}
		if err := r.write(element); err != nil {
			return err
		}
	}
	r.json.WriteByte(']')
	return nil
}

func (r *yamlReader) writeObject(node *yaml.Node) error {
	members, err := r.membersOf(node, map[*yaml.Node]bool{})
	if err != nil {
		return err
	}
	r.json.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			r.json.WriteByte(',')
		}
		r.json.Write(jsondoc.Quote(m.name))
		r.json.WriteByte(':')
		if err := r.write(m.value); err != nil {
			return err
		}
	}
	r.json.WriteByte('}')
	return nil
}

type yamlMember struct {
	name  string
	value *yaml.Node
}

// membersOf returns the members of a mapping. Those of a merge key (<<) come where it is, unless the mapping has them.
// merging has the mappings that are merged at the moment.
func (r *yamlReader) membersOf(node *yaml.Node, merging map[*yaml.Node]bool) ([]yamlMember, error) {
	if node.Kind != yaml.MappingNode || merging[node] {
		return nil, atLine(node, "a merge key must have objects")
	}
	merging[node] = true
	defer delete(merging, node)
	var members []yamlMember
	own, has := map[string]bool{}, map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; key.ShortTag() != "!!merge" {
			name, err := keyOf(key)
			if err != nil {
				return nil, err
			}
			if own[name] {
				return nil, atLine(key, fmt.Sprintf("the member %q is repeated", name))
			}
			own[name] = true
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		found := []yamlMember{{value: node.Content[i+1]}}
		merge := node.Content[i].ShortTag() == "!!merge"
		var err error
		if merge {
			found, err = r.merged(node.Content[i+1], merging)
		} else {
			found[0].name, err = keyOf(node.Content[i])
		}
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			if merge && (own[m.name] || has[m.name]) {
				continue
			}
			members, has[m.name] = append(members, m), true
		}
	}
	return members, nil
}

// merged returns the members of the value of a merge key: a mapping, or a list of mappings.
func (r *yamlReader) merged(node *yaml.Node, merging map[*yaml.Node]bool) ([]yamlMember, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if r.values++; r.values > maxYAMLValues {
		return nil, atLine(node, "the document has too many values")
	}
	if node.Kind != yaml.SequenceNode {
		return r.membersOf(node, merging)
	}
	var members []yamlMember
	for _, element := range node.Content {
		found, err := r.merged(element, merging)
		if err != nil {
			return nil, err
		}
		if members = append(members, found...); len(members) > maxYAMLValues {
			return nil, atLine(node, "the document has too many values")
		}
	}
	return members, nil
}

// keyOf returns the name of a member. A response's status may be written as a number.
func keyOf(key *yaml.Node) (string, error) {
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key.Kind != yaml.ScalarNode {
		return "", atLine(key, "the name of a member must be a string")
	}
	return key.Value, nil
}

// scalar returns a string, a number, true, false or null as JSON.
func scalar(node *yaml.Node) ([]byte, error) {
	switch node.ShortTag() {
	case "!!null":
		return []byte("null"), nil
	case "!!bool":
		var value bool
		if err := node.Decode(&value); err != nil {
			return nil, atLine(node, err.Error())
		}
		return strconv.AppendBool(nil, value), nil
	case "!!int", "!!float":
		return yamlNumber(node)
	}
	return jsondoc.Quote(node.Value), nil
}

// yamlNumber returns a number as JSON, in the text of the document if that is a number there, too.
func yamlNumber(node *yaml.Node) ([]byte, error) {
	if raw := []byte(node.Value); gjson.ValidBytes(raw) && gjson.ParseBytes(raw).Type == gjson.Number {
		return raw, nil
	}
	if node.ShortTag() == "!!int" {
		if value, ok := new(big.Int).SetString(node.Value, 0); ok {
			return value.Append(nil, 10), nil
		}
	}
	var value float64
	if err := node.Decode(&value); err != nil {
		return nil, atLine(node, err.Error())
	}
	out, err := json.Marshal(value)
	if err != nil {
		return nil, atLine(node, "is no number of JSON")
	}
	return out, nil
}

func atLine(node *yaml.Node, message string) error {
	return &Error{Message: fmt.Sprintf("line %d of the YAML: %s", node.Line, message)}
}
