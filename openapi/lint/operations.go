package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

var methods = []string{"delete", "get", "head", "options", "patch", "post", "put", "trace"}

// paths checks the operations of a contract, and the schemas within them.
func (l *linter) paths(root *yaml.Node) {
	each(get(root, "paths"), func(_, item *yaml.Node) {
		each(item, func(method, operation *yaml.Node) {
			if slices.Contains(methods, method.Value) {
				l.operation(method, operation)
			}
		})
	})
	components := get(root, "components")
	each(get(components, "parameters"), func(_, p *yaml.Node) { l.schema(get(p, "schema")) })
	each(get(components, "responses"), func(_, response *yaml.Node) { l.content(response) })
}

func (l *linter) operation(method, operation *yaml.Node) {
	id := get(operation, "operationId")
	if id == nil {
		l.reportf(method, "operation has no operationId")
		return
	}
	place := fmt.Sprintf("%s:%d", l.file, id.Line)
	if first, ok := l.operations[id.Value]; ok {
		l.reportf(id, "operationId %s is that of the operation at %s, too", id.Value, first)
	}
	l.operations[id.Value] = place
	if parameters := get(operation, "parameters"); parameters != nil {
		for _, p := range parameters.Content {
			l.schema(get(p, "schema"))
		}
	}
	each(get(get(operation, "requestBody"), "content"), func(_, media *yaml.Node) { l.schema(get(media, "schema")) })
	each(get(operation, "responses"), func(_, response *yaml.Node) {
		if get(response, "$ref") == nil {
			l.content(response)
		}
	})
}

// content checks the media types of a response.
func (l *linter) content(response *yaml.Node) {
	each(get(response, "content"), func(name, media *yaml.Node) {
		l.schema(get(media, "schema"))
		examples := get(media, "examples")
		if examples == nil || len(examples.Content) == 0 {
			l.reportf(name, "response has no named example, which says what happened")
		}
		each(examples, func(outcome, example *yaml.Node) {
			if get(example, "$ref") == nil {
				l.reportf(outcome, "example %s is not a reference to components/examples", outcome.Value)
			}
		})
	})
}

// examples compares the examples of a contract's responses and request bodies with their schemas.
func (l *linter) examples(file string) error {
	l.file = file
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	spec, err := loader.LoadFromFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	root := l.documents[file]
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			at := get(get(get(root, "paths"), path), strings.ToLower(method))
			if body := operation.RequestBody; body != nil {
				for name, media := range body.Value.Content {
					l.compare(get(get(get(get(at, "requestBody"), "content"), name), "example"), media, media.Example)
				}
			}
			for status, response := range operation.Responses.Map() {
				for name, media := range response.Value.Content {
					for outcome, example := range media.Examples {
						l.compare(l.exampleNode(get(get(at, "responses"), status), name, outcome), media, example.Value.Value)
					}
				}
			}
		}
	}
	return nil
}

// exampleNode returns the node of a response's example, behind all references.
func (l *linter) exampleNode(response *yaml.Node, media, outcome string) *yaml.Node {
	response = l.follow(response)
	return l.follow(get(get(get(get(response, "content"), media), "examples"), outcome))
}

func (l *linter) follow(n *yaml.Node) *yaml.Node {
	ref := get(n, "$ref")
	if ref == nil {
		return n
	}
	target, err := l.resolve(l.file, ref.Value)
	if err != nil || target == nil {
		return n
	}
	return target
}

func (l *linter) compare(at *yaml.Node, media *openapi3.MediaType, example any) {
	if example == nil || media.Schema == nil {
		return
	}
	if err := media.Schema.Value.VisitJSON(example, openapi3.DisableSchemaErrorDetails()); err != nil {
		l.reportf(at, "example breaks its schema: %v", err)
	}
}
