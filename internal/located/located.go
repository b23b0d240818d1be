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
	text  string
	lines []int // the offsets at which lines begin, ascending
	// marks are the numbers of characters before each multiple of markDistance: a line can be as long as the text.
	marks []int
}

const markDistance = 1 << 10

func newContent(file string, text []byte) *content {
	c := &content{file, string(text), []int{0}, nil}
	characters := 0
	for i, b := range text {
		if i%markDistance == 0 {
			c.marks = append(c.marks, characters)
		}
		if utf8.RuneStart(b) {
			characters++
		}
		if b == '\n' {
			c.lines = append(c.lines, i+1)
		}
	}
	c.marks = append(c.marks, characters) // for an offset at the end
	return c
}

// place returns the place of an offset.
func (c *content) place(offset int) Place {
	offset = min(offset, len(c.text))
	line, found := slices.BinarySearch(c.lines, offset)
	if !found {
		line--
	}
	return Place{c.file, line + 1, c.characters(offset) - c.characters(c.lines[line]) + 1}
}

// characters returns the number of characters before an offset.
func (c *content) characters(offset int) int {
	mark := offset / markDistance
	n := c.marks[mark]
	for i := mark * markDistance; i < offset; i++ {
		if utf8.RuneStart(c.text[i]) {
			n++
		}
	}
	return n
}

// span is a JSON value of a text.
type span struct {
	offset int
	json   string // ends with the value: the search in an object goes on to the end
}

// inJSON returns the JSON value that a text has between two offsets, without JSON and Repeated.
func inJSON(c *content, start, end int) Value {
	whole := span{start, c.text[start:end]}
	at := jsonLocator(c, whole)
	return Value{At: at, Elements: func(pointer string) func(n int) Locator {
		list := whole.at(pointer)
		var elements []span
		gjson.Parse(list.json).ForEach(func(_, element gjson.Result) bool {
			elements = append(elements, list.inner(element))
			return true
		})
		return func(n int) Locator {
			if n < len(elements) {
				return jsonLocator(c, elements[n])
			}
			return at.Below(pointer)
		}
	}}
}

func jsonLocator(c *content, value span) Locator {
	return func(pointer string) Place { return c.place(value.at(pointer).offset) }
}

// inner returns a value that was found in a span.
func (s span) inner(found gjson.Result) span { return span{s.offset + found.Index, found.Raw} }

// at returns the value at a pointer, or the innermost value around it.
func (s span) at(pointer string) span {
	for _, step := range steps(pointer) {
		inner, found := s.member(step)
		if !found {
			break
		}
		s = inner
	}
	return s
}

// member returns a member of an object, the last of repeated ones, or an element of a list.
func (s span) member(step string) (inner span, found bool) {
	parsed := gjson.Parse(s.json)
	if !parsed.IsObject() && !parsed.IsArray() {
		return s, false
	}
	n := 0
	parsed.ForEach(func(name, element gjson.Result) bool {
		if parsed.IsArray() && strconv.Itoa(n) == step || parsed.IsObject() && name.String() == step {
			inner, found = s.inner(element), true
		}
		n++
		return !found || parsed.IsObject()
	})
	return inner, found
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
