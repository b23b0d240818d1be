package conformance

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

const nullTag = "!!null"

// fields are the keys of an object, with what reads their values.
type fields map[string]func(*yaml.Node)

// pairs yields the keys and values of an object, with those of the objects that it merges (<<) and does not override;
// nothing for another node.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		all := members(n)
		own := map[string]bool{}
		for _, m := range all {
			own[m[0].Value] = true
		}
		for _, m := range all {
			if m[0].Value != "<<" {
				if !yield(m[0], m[1]) {
					return
				}
				continue
			}
			for key, value := range pairs(m[1]) {
				if !own[key.Value] && !yield(key, value) {
					return
				}
			}
		}
	}
}

// members returns the keys and values of an object as they are written, but for aliases.
func members(n *yaml.Node) [][2]*yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	var all [][2]*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := n.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		all = append(all, [2]*yaml.Node{n.Content[i], value})
	}
	return all
}

// entries calls read for each member of an object with names of the author's choice. null is an empty object.
func (l *loader) entries(n *yaml.Node, read func(name string, key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		if n.Tag != nullTag {
			l.reportf(n, "expected an object")
		}
		return
	}
	first := map[string]int{}
	for key, value := range pairs(n) {
		if line, twice := first[key.Value]; twice {
			l.reportf(key, "key %q occurs twice: it is already on line %d", key.Value, line)
			continue
		}
		first[key.Value] = key.Line
		read(key.Value, key, value)
	}
}

// object reads an object with the known keys, and reports others.
func (l *loader) object(n *yaml.Node, known fields) {
	l.entries(n, func(name string, key, value *yaml.Node) {
		if read := known[name]; read != nil {
			read(value)
			return
		}
		l.reportf(key, "unknown key %q%s (one of %s)", name, suggest(name, maps.Keys(known)),
			strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	})
}

func (*loader) ignored(*yaml.Node) {}

func (l *loader) text(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			l.reportf(n, "expected a text")
			return
		}
		*into = n.Value
	}
}

func (l *loader) boolean(into *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if err := n.Decode(into); err != nil {
			l.reportf(n, "expected true or false")
		}
	}
}

func (l *loader) integer(into *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if err := n.Decode(into); err != nil {
			l.reportf(n, "expected an integer")
		}
	}
}

func (l *loader) integer64(into *int64) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if err := n.Decode(into); err != nil {
			l.reportf(n, "expected an integer")
		}
	}
}

// texts reads a text or a list of texts.
func (l *loader) texts(n *yaml.Node) []string {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	all := make([]string, len(nodes))
	for i, each := range nodes {
		l.text(&all[i])(each)
	}
	return all
}

func (l *loader) textMap(into *map[string]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		*into = map[string]string{}
		l.entries(n, func(name string, _, value *yaml.Node) {
			var text string
			l.text(&text)(value)
			(*into)[name] = text
		})
	}
}

// jsonValue returns the JSON value of a node, as encoding/json would decode it.
func jsonValue(n *yaml.Node) any {
	switch n.Kind {
	default: // a scalar
	case yaml.AliasNode:
		return jsonValue(n.Alias)
	case yaml.MappingNode:
		object := map[string]any{}
		for key, value := range pairs(n) {
			object[key.Value] = jsonValue(value)
		}
		return object
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, each := range n.Content {
			list = append(list, jsonValue(each))
		}
		return list
	}
	switch n.ShortTag() {
	case nullTag:
		return nil
	case "!!bool":
		return n.Value == "true"
	case "!!int", "!!float":
		if number, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return number
		}
	}
	return n.Value
}

// maxTypos is the number of edits up to which a name counts as misspelt.
const maxTypos = 3

// suggest returns a proposal for a misspelt name, "" if none is near.
func suggest(name string, known iter.Seq[string]) string {
	best, distance := "", maxTypos+1
	for _, candidate := range slices.Sorted(known) {
		if d := editDistance(strings.ToLower(name), strings.ToLower(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + strconv.Quote(best) + "?"
}

// editDistance is the number of characters to insert, delete or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// outcomes yields the names of the operation's outcomes.
func (op *Operation) outcomes() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, r := range slices.SortedFunc(slices.Values(op.Responses), func(a, b *Response) int {
			return cmp.Compare(a.Outcome, b.Outcome)
		}) {
			if !yield(r.Outcome) {
				return
			}
		}
	}
}
