package lint

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// document is a parsed file. Its root is nil if it is not YAML.
type document struct {
	path string
	root *yaml.Node
}

// load parses the file at path, once, and reports syntax errors and keys that occur twice.
func (l *linter) load(path string) (*document, error) {
	path = filepath.Clean(path)
	if doc, ok := l.documents[path]; ok {
		return doc, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	doc := &document{path: path}
	l.documents[path] = doc
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		at := &yaml.Node{Line: 1, Column: 1}
		message := err.Error()
		if load := (*yaml.LoadError)(nil); errors.As(err, &load) {
			at, message = &yaml.Node{Line: load.Mark.Line, Column: load.Mark.Column}, load.Message
		}
		l.reportf(doc, at, "not YAML: %s: correct it, or close a quote or a bracket further up", message)
		return doc, nil
	}
	if root.Kind != yaml.DocumentNode || root.Content[0].Kind != yaml.MappingNode {
		l.reportf(doc, &yaml.Node{Line: 1, Column: 1}, "not an OpenAPI document: the file is not an object")
		return doc, nil
	}
	if !expandAliases(root.Content[0]) {
		l.reportf(doc, root.Content[0], "an alias stands for something that it is a part of, or aliases for too much")
		return doc, nil
	}
	doc.root = root.Content[0]
	l.checkDuplicateKeys(doc, doc.root)
	return doc, nil
}

func (l *linter) reportf(doc *document, at *yaml.Node, format string, args ...any) {
	l.problems = append(l.problems, problemAt(doc, at, format, args...))
}

// reporter reports problems of one rule.
type reporter struct {
	linter *linter
	rule   string
}

// beyond returns the reporter of a rule; "" is OpenAPI itself.
func (l *linter) beyond(rule string) reporter { return reporter{l, rule} }

func (r reporter) reportf(doc *document, at *yaml.Node, format string, args ...any) {
	p := problemAt(doc, at, format, args...)
	p.Rule = r.rule
	r.linter.problems = append(r.linter.problems, p)
}

func problemAt(doc *document, at *yaml.Node, format string, args ...any) Problem {
	return Problem{File: doc.path, Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...)}
}

func (l *linter) checkDuplicateKeys(doc *document, node *yaml.Node) {
	if node.Kind == yaml.MappingNode {
		first := map[string]*yaml.Node{}
		for key := range pairs(node) {
			if before := first[key.Value]; before != nil {
				l.reportf(doc, key, "key %q occurs twice: it is already on line %d", key.Value, before.Line)
			} else {
				first[key.Value] = key
			}
		}
	}
	for _, child := range node.Content {
		l.checkDuplicateKeys(doc, child)
	}
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

// text returns the value of a key that is a text, else "".
func text(node *yaml.Node, name string) string {
	if value := member(node, name); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// names returns the keys of an object.
func names(node *yaml.Node) []string {
	var all []string
	for key := range pairs(node) {
		all = append(all, key.Value)
	}
	return all
}

// elements returns the elements of a list; nil for another node.
func elements(node *yaml.Node) []*yaml.Node {
	if node == nil || node.Kind != yaml.SequenceNode {
		return nil
	}
	return node.Content
}

// reference returns the node that holds the target of a $ref; nil if node is something else.
func reference(node *yaml.Node) *yaml.Node {
	if ref := member(node, "$ref"); ref != nil && ref.Kind == yaml.ScalarNode {
		return ref
	}
	return nil
}

// target is what a reference refers to.
type target struct {
	name string // FILE#POINTER
	doc  *document
	node *yaml.Node // nil in a file that is not YAML
}

// resolution is what resolve found.
type resolution struct {
	target target
	err    error
}

// resolve finds what a reference refers to. The error says what is wrong with ref.
func (l *linter) resolve(doc *document, ref string) (target, error) {
	key := doc.path + "\n" + ref
	found, known := l.resolved[key]
	if !known {
		found.target, found.err = l.search(doc, ref)
		l.resolved[key] = found
	}
	return found.target, found.err
}

func (l *linter) search(doc *document, ref string) (target, error) {
	file, pointer, _ := strings.Cut(ref, "#")
	switch {
	case ref == "":
		return target{}, errors.New("it is empty")
	case strings.Contains(file, "://"):
		return target{}, errors.New("it is on another server: save it in a file beside this one")
	}
	if file != "" {
		var err error
		if doc, err = l.load(filepath.Join(filepath.Dir(doc.path), file)); err != nil {
			return target{}, fmt.Errorf("the file %s cannot be read", file)
		}
	}
	found := target{name: doc.path + "#" + pointer, doc: doc, node: doc.root}
	if doc.root == nil {
		return found, nil // load has reported the file
	}
	if pointer == "" {
		return found, nil
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if decoded, err := url.PathUnescape(part); err == nil {
			part = decoded
		}
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		parent := found.node
		if found.node = descend(parent, part); found.node == nil {
			return target{}, fmt.Errorf("there is no %q%s", part, suggestion(part, names(parent)))
		}
	}
	return found, nil
}

// follow returns the document and the node that a reference leads to, through other references; doc and node themselves
// if node is no reference. The node is nil if a reference leads nowhere, which checkStructure reports.
func (l *linter) follow(doc *document, node *yaml.Node) (*document, *yaml.Node) {
	passed := map[*yaml.Node]bool{}
	for ref := reference(node); ref != nil; ref = reference(node) {
		found, err := l.resolve(doc, ref.Value)
		if err != nil || passed[ref] {
			return doc, nil
		}
		passed[ref] = true
		doc, node = found.doc, found.node
	}
	return doc, node
}

// loops reports whether a reference leads to itself, through other references.
func (l *linter) loops(doc *document, ref *yaml.Node) bool {
	passed := map[*yaml.Node]bool{}
	for next := ref; next != nil && !passed[next]; {
		passed[next] = true
		found, err := l.resolve(doc, next.Value)
		if err != nil {
			return false
		}
		doc, next = found.doc, reference(found.node)
		if next == ref {
			return true
		}
	}
	return false
}

// descend returns the member or the element of node that one part of a JSON pointer names; nil if there is none.
func descend(node *yaml.Node, part string) *yaml.Node {
	if node != nil && node.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i]
		}
		return nil
	}
	return member(node, part)
}

// farthest is the number of edits up to which a name counts as misspelt.
const farthest = 2

// suggestion returns `: did you mean "x"?` for the name that word is closest to, or "".
func suggestion(word string, known []string) string {
	best, distance := "", farthest+1
	for _, name := range known {
		if d := editDistance(word, name); d < distance && d < len(name) {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// editDistance returns how many bytes have to be inserted, deleted, replaced or swapped to make b of a.
func editDistance(a, b string) int {
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(last[j]+cost, last[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
