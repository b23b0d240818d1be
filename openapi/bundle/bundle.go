// Package bundle joins OpenAPI 3.0 documents into one document that refers to no other file, for programs that read a
// single file, and for the server, which serves its contracts (openapi/README.md#the-bundles).
//
// It works on the YAML, because order and style of the contracts are for their readers: paths, properties and examples
// are in the bundle as they are in the contracts. Libraries that bundle one document with what it refers to exist
// (kin-openapi's InternalizeRefs, libopenapi's bundler), but they either sort all keys, or do not join documents.
package bundle

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Join joins the documents at paths, of which the first has precedence. Its result has
//
//   - the operations of all documents, each with its own security and, as its only server, the one that the bundle is
//     loaded from;
//   - the components that those refer to, also of other documents. Of two components with one name, that of the earlier
//     document keeps it; the name of the other gets its file's as a prefix: DashboardPage;
//   - one tag of each name, with the descriptions of all documents.
//
// Comments are left out, and so are the keys that only concern the code of the server (isForGenerator).
func Join(title string, paths ...string) (*yaml.Node, error) {
	b := &bundler{documents: map[string]*document{}, names: map[component]string{}}
	for _, path := range paths {
		doc, err := b.load(path)
		if err != nil {
			return nil, err
		}
		b.joined = append(b.joined, doc)
	}
	for _, doc := range b.joined {
		if err := b.reach(doc, member(doc.root, "paths"), true); err != nil {
			return nil, err
		}
		for name := range pairs(member(member(doc.root, "components"), securitySchemes)) {
			b.names[component{doc.path, securitySchemes, name.Value}] = name.Value
		}
	}
	if err := b.nameComponents(); err != nil {
		return nil, err
	}
	return b.write(title)
}

const securitySchemes = "securitySchemes"

// bundler is the state of one Join.
type bundler struct {
	joined    []*document
	documents map[string]*document // by path; joined ones, and those that they refer to
	order     []*document          // documents in the order in which they were loaded
	// names are the names in the bundle of the components that belong to it; "" until they are named.
	names map[component]string
}

// document is a parsed file.
type document struct {
	path string
	root *yaml.Node
}

// component names a component of a document.
type component struct{ path, section, name string }

func (b *bundler) load(path string) (*document, error) {
	path = filepath.Clean(path)
	if doc := b.documents[path]; doc != nil {
		return doc, nil
	}
	root, err := readYAML(path)
	if err != nil {
		return nil, err
	}
	doc := &document{path, root}
	b.documents[path] = doc
	b.order = append(b.order, doc)
	return doc, nil
}

// reach records the components that node refers to, and what they refer to. isNames tells that the keys of node are
// names instead of keywords.
func (b *bundler) reach(doc *document, node *yaml.Node, isNames bool) error {
	return walk(node, isNames, func(ref *yaml.Node) error {
		target, err := b.resolve(doc, ref.Value)
		if err != nil {
			return fmt.Errorf("%s:%d:%d: %w", doc.path, ref.Line, ref.Column, err)
		}
		if _, known := b.names[target]; known {
			return nil
		}
		b.names[target] = ""
		other := b.documents[target.path]
		return b.reach(other, target.in(other), false)
	})
}

// in returns the component's definition.
func (c component) in(doc *document) *yaml.Node {
	return member(member(member(doc.root, "components"), c.section), c.name)
}

// resolve returns the component that a $ref in doc refers to.
func (b *bundler) resolve(doc *document, ref string) (component, error) {
	file, pointer, _ := strings.Cut(ref, "#")
	if file != "" {
		var err error
		if doc, err = b.load(filepath.Join(filepath.Dir(doc.path), file)); err != nil {
			return component{}, err
		}
	}
	section, name, found := strings.Cut(strings.TrimPrefix(pointer, "/components/"), "/")
	target := component{doc.path, section, name}
	if !found || target.in(doc) == nil {
		return component{}, fmt.Errorf("%q is not a component", ref)
	}
	return target, nil
}

// nameComponents gives each component of the bundle a name that no other in its section has.
func (b *bundler) nameComponents() error {
	taken := map[component]bool{} // with path ""
	for _, doc := range b.order {
		for section, components := range pairs(member(doc.root, "components")) {
			for name := range pairs(components) {
				key := component{doc.path, section.Value, name.Value}
				if _, reached := b.names[key]; !reached {
					continue
				}
				free := component{"", section.Value, name.Value}
				if taken[free] && section.Value != securitySchemes { // operations refer to those by their names
					free.name = doc.prefix() + name.Value
				}
				if taken[free] {
					return fmt.Errorf("%s:%d:%d: another document has a component %s in %s, too",
						doc.path, name.Line, name.Column, free.name, section.Value)
				}
				taken[free] = true
				b.names[key] = free.name
			}
		}
	}
	return nil
}

// prefix returns what tells the document's components from those of others with the same names: Dashboard.
func (d *document) prefix() string {
	base := strings.TrimSuffix(filepath.Base(d.path), filepath.Ext(d.path))
	return strings.ToUpper(base[:1]) + base[1:]
}

// write returns the bundle.
func (b *bundler) write(title string) (*yaml.Node, error) {
	first := b.joined[0].root
	paths, err := b.paths()
	if err != nil {
		return nil, err
	}
	return object(
		"openapi", member(first, "openapi"),
		"info", object(
			"title", text(title),
			"version", member(member(first, "info"), "version"),
			"description", text(b.description()),
			"license", member(member(first, "info"), "license"),
			versionKey, text(VersionPlaceholder)),
		"servers", list(object("url", text("/"), "description", text("The server that serves this file."))),
		"tags", b.tags(),
		"paths", paths,
		"components", b.components(),
	), nil
}

// VersionPlaceholder stands for the version of the server that serves the bundle.
const VersionPlaceholder = "GATEHOUSE_VERSION"

const versionKey = "x-gatehouse-version"

// description returns the descriptions of the documents; of several, each below its title.
func (b *bundler) description() string {
	var parts []string
	for _, doc := range b.joined {
		info := member(doc.root, "info")
		if len(b.joined) > 1 {
			parts = append(parts, "## "+member(info, "title").Value)
		}
		parts = append(parts, member(info, "description").Value)
	}
	return strings.Join(parts, "\n\n")
}

// tags returns one tag of each name, in the order of the documents.
func (b *bundler) tags() *yaml.Node {
	tags := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	byName := map[string]*yaml.Node{}
	for _, doc := range b.joined {
		for _, tag := range member(doc.root, "tags").Content {
			name, description := member(tag, "name").Value, member(tag, "description").Value
			before := byName[name]
			if before == nil {
				byName[name] = object("name", text(name), "description", text(description))
				tags.Content = append(tags.Content, byName[name])
			} else if had := member(before, "description"); had.Value != description {
				had.Value += " " + description
			}
		}
	}
	return tags
}

// paths returns the paths of all documents. An operation that relies on its document's default security gets it.
func (b *bundler) paths() (*yaml.Node, error) {
	all := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, doc := range b.joined {
		for path, item := range pairs(member(doc.root, "paths")) {
			if member(all, path.Value) != nil {
				return nil, fmt.Errorf("%s:%d:%d: another document has the path %s, too",
					doc.path, path.Line, path.Column, path.Value)
			}
			item := b.copy(doc, item, false)
			for method, operation := range pairs(item) {
				if isMethod(method.Value) && member(operation, "security") == nil {
					security := b.copy(doc, member(doc.root, "security"), false)
					operation.Content = append(operation.Content, text("security"), security)
				}
			}
			all.Content = append(all.Content, text(path.Value), item)
		}
	}
	return all, nil
}

func isMethod(key string) bool {
	return slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}, key)
}

// components returns the components of the bundle: sections in alphabetical order, and in each the components in the
// order of the documents.
func (b *bundler) components() *yaml.Node {
	sections := map[string]*yaml.Node{}
	for _, doc := range b.order {
		for section, components := range pairs(member(doc.root, "components")) {
			for name, definition := range pairs(components) {
				newName, reached := b.names[component{doc.path, section.Value, name.Value}]
				if !reached {
					continue
				}
				if sections[section.Value] == nil {
					sections[section.Value] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
				}
				in := sections[section.Value]
				in.Content = append(in.Content, text(newName), b.copy(doc, definition, false))
			}
		}
	}
	all := object()
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		all.Content = append(all.Content, text(section), sections[section])
	}
	return all
}

// copy returns a copy of a node of doc, in which references have the names of the bundle.
func (b *bundler) copy(doc *document, node *yaml.Node, isNames bool) *yaml.Node {
	copied := clone(node)
	// The references have been resolved before.
	_ = walk(copied, isNames, func(ref *yaml.Node) error {
		target, err := b.resolve(doc, ref.Value)
		ref.Value = "#/components/" + target.section + "/" + b.names[target]
		return err
	})
	return copied
}

// isForGenerator reports whether a key only concerns the code of the server: x-order is the order of fields in its
// responses. The other x- keys stay: they tell permissions, what a validator has to know, and (x-go-type) which objects
// are documents, of which a Go program must not drop what the contract does not name.
func isForGenerator(key string) bool { return key == "x-order" }

var errNotObject = errors.New("the file is not an object")
