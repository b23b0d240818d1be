package contractdiff

import (
	"cmp"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// columns are the words in the migrations, each with the place where it occurs first.
type columns map[string]Task

var word = regexp.MustCompile(`\w+`)

func readColumns(dir string) (columns, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.sql"))
	if err != nil {
		return nil, err
	}
	all := columns{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for i, line := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(line, "--")
			for _, name := range word.FindAllString(code, -1) {
				if _, known := all[name]; !known {
					all[name] = Task{File: path.Join(migrationsDir, filepath.Base(file)), Line: i + 1}
				}
			}
		}
	}
	return all, nil
}

// columnTasks lists properties of requests that were added without a column of their name, and columns whose property
// is gone. Whether a property is stored at all, and where, is for the author to know. What only responses have may be
// computed, or is the envelope of others.
func columnTasks(before, after *openapi3.T, known columns) []Task {
	were, are := propertiesOf(before), propertiesOf(after)
	left := map[string]bool{} // by name
	for id := range are {
		left[id.name] = true
	}
	added, gone := map[string][]propertyID{}, map[string][]propertyID{}
	for id, p := range are {
		if _, existed := were[id]; !existed && p.isSent && known[id.name].File == "" {
			added[id.name] = append(added[id.name], id)
		}
	}
	for id := range were {
		if !left[id.name] && known[id.name].File != "" {
			gone[id.name] = append(gone[id.name], id)
		}
	}
	var tasks []Task
	for _, ids := range added {
		names := namesOf(ids)
		at := are[ids[0]].at
		tasks = append(tasks, Task{
			at.File, at.Line, names + ": no column has the name of this property; if it is stored, add a migration",
		})
	}
	for name, ids := range gone {
		tasks = append(tasks, Task{
			known[name].File, known[name].Line,
			namesOf(ids) + ": this property is gone; its column may go in a new migration",
		})
	}
	return tasks
}

// propertyID names a property of a named schema.
type propertyID struct{ schema, name string }

// namesOf sorts properties, and returns their names.
func namesOf(ids []propertyID) string {
	slices.SortFunc(ids, func(a, b propertyID) int { return cmp.Compare(a.schema, b.schema) })
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.schema + "." + id.name
	}
	return strings.Join(names, ", ")
}

// property is a property of a named schema.
type property struct {
	at openapi3.Location
	// isSent reports whether requests have the property.
	isSent bool
}

// propertiesOf returns the properties of the named schemas that operations use. Documents, which are stored as a whole,
// are left out.
func propertiesOf(spec *openapi3.T) map[propertyID]property {
	found := map[propertyID]property{}
	requests := collection{found: found, seen: map[string]bool{}, isSent: true}
	responses := collection{found: found, seen: map[string]bool{}}
	for _, op := range operationsOf(spec) {
		if op.RequestBody != nil {
			requests.content(op.RequestBody.Value.Content)
		}
		for _, response := range op.Responses.Map() {
			responses.content(response.Value.Content)
		}
	}
	return found
}

// collection collects the properties of schemas.
type collection struct {
	found  map[propertyID]property
	seen   map[string]bool // schemas
	isSent bool
}

func (c collection) content(content openapi3.Content) {
	for _, media := range content {
		c.schema(media.Schema)
	}
}

func (c collection) schema(ref *openapi3.SchemaRef) {
	if ref == nil || ref.Value == nil || ref.Value.Extensions["x-go-type"] != nil {
		return
	}
	schema, name := ref.Value, path.Base(ref.Ref)
	if ref.Ref != "" {
		if c.seen[name] {
			return
		}
		c.seen[name] = true
	}
	for property, value := range schema.Properties {
		if ref.Ref != "" {
			c.add(propertyID{name, property}, value)
		}
		c.schema(value)
	}
	c.schema(schema.Items)
	c.schema(schema.AdditionalProperties.Schema)
	for _, each := range slices.Concat(schema.AllOf, schema.AnyOf, schema.OneOf) {
		c.schema(each)
	}
}

func (c collection) add(id propertyID, declared *openapi3.SchemaRef) {
	c.found[id] = property{at: locationOf(declared), isSent: c.isSent || c.found[id].isSent}
}

// locationOf returns where a property is declared.
func locationOf(ref *openapi3.SchemaRef) openapi3.Location {
	switch {
	case ref.Origin != nil && ref.Origin.Key != nil:
		return *ref.Origin.Key
	case ref.Value != nil && ref.Value.Origin != nil && ref.Value.Origin.Key != nil:
		return *ref.Value.Origin.Key
	default:
		return openapi3.Location{}
	}
}
