package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fault is something wrong with a contract, and its place.
type fault struct {
	file         string
	line, column int
	message      string
}

func (f fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.file, f.line, f.column, f.message)
}

// check returns the faults of contracts, in the order of files and lines. The error is of a file that cannot be read.
func check(files ...string) ([]fault, error) {
	l := &linter{documents: map[string]*yaml.Node{}, operations: map[string]string{}}
	for _, file := range files {
		root, err := l.document(file)
		if err != nil {
			return nil, err
		}
		l.file = file
		l.node(root)
		l.paths(root)
		if components := get(root, "components"); components != nil {
			each(get(components, "schemas"), func(name, schema *yaml.Node) { l.namedSchema(name, schema) })
		}
	}
	if len(l.faults) == 0 { // examples are compared with schemas that are sound
		for _, file := range files {
			if err := l.examples(file); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(l.faults, func(a, b fault) int {
		return cmp.Or(slices.Index(files, a.file)-slices.Index(files, b.file), a.line-b.line, a.column-b.column)
	})
	return slices.Compact(l.faults), nil
}

type linter struct {
	documents  map[string]*yaml.Node // by path
	operations map[string]string     // the place of each operation ID
	file       string                // that is checked
	faults     []fault
}

// document returns the root of a YAML file, which is read once.
func (l *linter) document(path string) (*yaml.Node, error) {
	if root, ok := l.documents[path]; ok {
		return root, nil
	}
	text, err := os.ReadFile(path) //nolint:gosec // the path is named by who runs the command, or by a contract
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	if len(document.Content) > 0 {
		root = document.Content[0]
	}
	l.documents[path] = root
	return root, nil
}

func (l *linter) reportf(at *yaml.Node, format string, args ...any) {
	l.faults = append(l.faults, fault{l.file, at.Line, at.Column, fmt.Sprintf(format, args...)})
}

// extensions are the x- keys that openapi/README.md explains.
var extensions = []string{
	"x-duration", "x-each", "x-gatehouse", "x-go-type", "x-ignore-case", "x-object-id", "x-order", "x-permission", "x-varies",
}

// node checks the references and x- keys below a node. Examples and properties are the author's: their names are free.
func (l *linter) node(n *yaml.Node) {
	for _, item := range n.Content {
		if n.Kind == yaml.SequenceNode {
			l.node(item)
		}
	}
	each(n, func(key, value *yaml.Node) {
		switch {
		case key.Value == "$ref" && value.Kind == yaml.ScalarNode:
			l.reference(value)
		case strings.HasPrefix(key.Value, "x-") && !slices.Contains(extensions, key.Value):
			l.reportf(key, "unknown key %s; known are %s", key.Value, strings.Join(extensions, ", "))
		case key.Value == "value", key.Value == "example":
		case key.Value == "properties":
			each(value, func(_, property *yaml.Node) { l.node(property) })
		default:
			l.node(value)
		}
	})
}

func (l *linter) reference(ref *yaml.Node) {
	if target, err := l.resolve(l.file, ref.Value); err != nil || target == nil {
		l.reportf(ref, "%s refers to nothing", ref.Value)
	}
}

// resolve returns the node that a reference in a file refers to, nil if there is none.
func (l *linter) resolve(file, ref string) (*yaml.Node, error) {
	path, pointer, _ := strings.Cut(ref, "#")
	if path != "" {
		file = filepath.Join(filepath.Dir(file), path)
	}
	at, err := l.document(file)
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if at == nil {
			break
		}
		at = get(at, strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
	}
	return at, err
}

// get returns the value of a mapping's key, nil if there is none.
func get(n *yaml.Node, name string) (found *yaml.Node) {
	each(n, func(key, value *yaml.Node) {
		if key.Value == name {
			found = value
		}
	})
	return found
}

// each calls do for the keys of a mapping.
func each(n *yaml.Node, do func(key, value *yaml.Node)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		do(n.Content[i], n.Content[i+1])
	}
}
