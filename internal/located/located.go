// Package located reads the documents of JSON and YAML texts, and finds the lines and columns of their values.
package located

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"
)

// Place is a place in a text. Lines and columns count from 1; a column is a character.
type Place struct {
	File   string
	Line   int
	Column int
}

// String returns the place as editors and compilers write it.
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Fault is an error in a text.
type Fault struct {
	Place  Place
	Reason string
}

// Value is a JSON value of a text.
type Value struct {
	// JSON is the value without insignificant whitespace.
	JSON json.RawMessage
	// At finds its places.
	At Locator
	// Elements returns the locators of the elements of the list at a pointer, by their positions. It should be called
	// once for each list, because a search for each element from the start would be quadratic.
	Elements func(pointer string) func(n int) Locator
	// Repeated is the pointer to the first member of the text whose name another one of its object has. Only the last of
	// such members is in JSON. It is "" if there is none.
	Repeated string
}

// Locator finds the place of the value at a JSON pointer, or of the innermost value around it.
type Locator func(pointer string) Place

// Below returns a locator of the values below a pointer.
func (l Locator) Below(prefix string) Locator {
	return func(pointer string) Place { return l(prefix + pointer) }
}

// steps returns the unescaped steps of a JSON pointer.
func steps(pointer string) []string {
	if pointer == "" {
		return nil
	}
	all := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range all {
		all[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(all[i])
	}
	return all
}

// content is a text.
type content struct {
	file  string
	text  []byte
	lines []int // the offsets at which lines begin, ascending
}

func newContent(file string, text []byte) *content {
	c := &content{file, text, []int{0}}
	for i, b := range text {
		if b == '\n' {
			c.lines = append(c.lines, i+1)
		}
	}
	return c
}

// place returns the place of an offset.
func (c *content) place(offset int) Place {
	offset = min(offset, len(c.text))
	line, found := slices.BinarySearch(c.lines, offset)
	if !found {
		line--
	}
	return Place{c.file, line + 1, utf8.RuneCount(c.text[c.lines[line]:offset]) + 1}
}

// inJSON returns the JSON value that begins at an offset of a text, without JSON and Repeated.
func inJSON(c *content, start int) Value {
	at := jsonLocator(c, start)
	return Value{At: at, Elements: func(pointer string) func(n int) Locator {
		list := jsonOffset(c, start, pointer)
		var offsets []int
		gjson.ParseBytes(c.text[list:]).ForEach(func(_, element gjson.Result) bool {
			offsets = append(offsets, list+element.Index)
			return true
		})
		return func(n int) Locator {
			if n < len(offsets) {
				return jsonLocator(c, offsets[n])
			}
			return at.Below(pointer)
		}
	}}
}

func jsonLocator(c *content, start int) Locator {
	return func(pointer string) Place { return c.place(jsonOffset(c, start, pointer)) }
}

// jsonOffset returns the offset of the value at a pointer, or of the innermost value around it.
func jsonOffset(c *content, start int, pointer string) int {
	offset := start
	for _, step := range steps(pointer) {
		inner, found := memberOffset(c.text[offset:], step)
		if !found {
			break
		}
		offset += inner
	}
	return offset
}

// memberOffset returns the offset of a member of an object, the last of repeated ones, or of an element of a list.
func memberOffset(value []byte, step string) (offset int, found bool) {
	parsed := gjson.ParseBytes(value)
	if !parsed.IsObject() && !parsed.IsArray() {
		return 0, false
	}
	n := 0
	parsed.ForEach(func(name, element gjson.Result) bool {
		if parsed.IsArray() && strconv.Itoa(n) == step || parsed.IsObject() && name.String() == step {
			offset, found = element.Index, true
		}
		n++
		return !found || parsed.IsObject()
	})
	return offset, found
}

// inYAML returns the value of a YAML document that begins after linesBefore lines of a text, without JSON.
func inYAML(file string, root *yaml.Node, linesBefore int) Value {
	at := yamlLocator(file, root, linesBefore)
	return Value{At: at, Elements: func(pointer string) func(n int) Locator {
		return func(n int) Locator { return at.Below(PointerTo(pointer, strconv.Itoa(n))) }
	}}
}

func yamlLocator(file string, root *yaml.Node, linesBefore int) Locator {
	return func(pointer string) Place {
		node := root
		if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
			node = node.Content[0]
		}
		for _, step := range steps(pointer) {
			inner := memberNode(node, step)
			if inner == nil {
				break
			}
			node = inner
		}
		return Place{file, linesBefore + max(node.Line, 1), max(node.Column, 1)}
	}
}

// memberNode returns a member of a mapping, or an element of a sequence; nil if there is none.
func memberNode(node *yaml.Node, step string) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.SequenceNode {
		if n, err := strconv.Atoi(step); err == nil && n >= 0 && n < len(node.Content) {
			return node.Content[n]
		}
		return nil
	}
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == step {
			return node.Content[i+1]
		}
	}
	return nil
}

// PointerTo returns the JSON pointer to a member.
func PointerTo(prefix, name string) string {
	return prefix + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
