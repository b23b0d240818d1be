package desired

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"
)

// locator finds the place of the value at a JSON pointer, or of the innermost value around it.
type locator func(pointer string) Place

// below returns a locator of the values below a pointer.
func (l locator) below(prefix string) locator {
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

// placeAt returns the place of an offset.
func placeAt(file string, text []byte, offset int) Place {
	before := text[:min(offset, len(text))]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return Place{file, bytes.Count(before, []byte("\n")) + 1, len(before) - lineStart + 1}
}

// inJSON returns the locator of a JSON value that begins at an offset of a file.
func inJSON(file string, text []byte, start int) locator {
	return func(pointer string) Place {
		offset := start
		for _, step := range steps(pointer) {
			inner, found := memberOffset(text[offset:], step)
			if !found {
				break
			}
			offset += inner
		}
		return placeAt(file, text, offset)
	}
}

// memberOffset returns where a member of an object, or an element of a list, begins.
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
		return !found
	})
	return offset, found
}

// inYAML returns the locator of a YAML document that begins behind some lines of a file.
func inYAML(file string, root *yaml.Node, linesBefore int) locator {
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
