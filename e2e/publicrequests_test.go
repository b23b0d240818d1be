package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// requestsOf returns a request to each operation of a contract, which matches the contract as far as its examples do.
func requestsOf(document *openapi3.T) []publicRequest {
	var all []publicRequest
	for _, path := range slices.Sorted(maps.Keys(document.Paths.Map())) {
		item := document.Paths.Value(path)
		for _, method := range slices.Sorted(maps.Keys(item.Operations())) {
			op := item.GetOperation(method)
			r := publicRequest{name: method + " " + path, method: method, target: path, header: http.Header{}}
			query := url.Values{}
			r.authenticate(document, query)
			for _, parameter := range slices.Concat(item.Parameters, op.Parameters) {
				r.set(parameter.Value, query)
			}
			if op.RequestBody != nil {
				r.setBody(op.RequestBody.Value.Content)
			}
			if len(query) > 0 {
				r.target += "?" + query.Encode()
			}
			all = append(all, r)
		}
	}
	return all
}

// authenticate adds a credential of each scheme.
func (r *publicRequest) authenticate(document *openapi3.T, query url.Values) {
	r.header.Set("Authorization", "Bearer any")
	if document.Components == nil {
		return
	}
	for _, ref := range document.Components.SecuritySchemes {
		switch scheme := ref.Value; {
		case scheme.Type != "apiKey":
		case scheme.In == "header":
			r.header.Set(scheme.Name, "any")
		case scheme.In == "query":
			query.Set(scheme.Name, "any")
		case scheme.In == "cookie":
			r.header.Add("Cookie", scheme.Name+"=any")
		}
	}
}

func (r *publicRequest) set(parameter *openapi3.Parameter, query url.Values) {
	value := parameter.Example
	for _, name := range slices.Sorted(maps.Keys(parameter.Examples)) {
		value = parameter.Examples[name].Value.Value
	}
	if value == nil && parameter.Schema != nil {
		value = sampleValue(parameter.Schema.Value, 0)
	}
	switch {
	case parameter.In == "path":
		r.target = strings.ReplaceAll(r.target, "{"+parameter.Name+"}", url.PathEscape(parameterText(value)))
	case parameter.Required && parameter.In == "query":
		query.Set(parameter.Name, parameterText(value))
	case parameter.Required && parameter.In == "header":
		r.header.Set(parameter.Name, parameterText(value))
	}
}

func parameterText(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		var texts []string
		for _, each := range value {
			texts = append(texts, parameterText(each))
		}
		return strings.Join(texts, ",")
	case nil:
		return "any"
	}
	return fmt.Sprint(value)
}

// setBody sets a body of one of the media types: JSON if there is one.
func (r *publicRequest) setBody(content openapi3.Content) {
	names := slices.Sorted(maps.Keys(content))
	isJSON := func(name string) bool { return strings.Contains(name, "json") }
	name := names[max(0, slices.IndexFunc(names, isJSON))]
	media := content[name]
	value := media.Example
	for _, example := range slices.Sorted(maps.Keys(media.Examples)) {
		value = media.Examples[example].Value.Value
	}
	if value == nil && media.Schema != nil {
		value = sampleValue(media.Schema.Value, 0)
	}
	members, _ := value.(map[string]any)
	r.header.Set("Content-Type", name)
	switch {
	case isJSON(name):
		r.body, _ = json.Marshal(value) // a value of a document in JSON or YAML
	case name == "application/x-www-form-urlencoded":
		form := url.Values{}
		for member, each := range members {
			form.Set(member, parameterText(each))
		}
		r.body = []byte(form.Encode())
	case name == "multipart/form-data":
		var body bytes.Buffer
		parts := multipart.NewWriter(&body)
		for _, member := range slices.Sorted(maps.Keys(members)) {
			_ = parts.WriteField(member, parameterText(members[member])) // into memory
		}
		_ = parts.Close()
		r.header.Set("Content-Type", parts.FormDataContentType())
		r.body = body.Bytes()
	default:
		r.body = []byte(parameterText(value))
	}
}

// sampleValue returns a value with what a schema requires.
func sampleValue(schema *openapi3.Schema, depth int) any {
	const deepest = 8
	switch {
	case depth > deepest:
		return nil
	case schema.Example != nil:
		return schema.Example
	case schema.Default != nil:
		return schema.Default
	case len(schema.Enum) > 0:
		return schema.Enum[0]
	case len(schema.OneOf) > 0:
		return sampleValue(schema.OneOf[0].Value, depth+1)
	case len(schema.AnyOf) > 0:
		return sampleValue(schema.AnyOf[0].Value, depth+1)
	case schema.Type.Is("array"):
		items := make([]any, schema.MinItems)
		for i := range items {
			items[i] = sampleValue(schema.Items.Value, depth+1)
		}
		return items
	case schema.Type.Is("string"):
		return sampleText(schema)
	case schema.Type.Is("boolean"):
		return true
	case schema.Type.Is("integer"), schema.Type.Is("number"):
		return max(1, valueOr(schema.Min, 1))
	}
	object := map[string]any{}
	addRequired(object, schema, depth)
	return object
}

func addRequired(object map[string]any, schema *openapi3.Schema, depth int) {
	for _, name := range schema.Required {
		if property := schema.Properties[name]; property != nil && !property.Value.ReadOnly {
			object[name] = sampleValue(property.Value, depth+1)
		}
	}
	for _, part := range schema.AllOf {
		addRequired(object, part.Value, depth)
	}
}

func sampleText(schema *openapi3.Schema) string {
	text := map[string]string{
		"date": "2024-02-29", "date-time": "2024-02-29T12:00:00Z", "uuid": "7d0c1a6e-3d9b-4c39-9a53-0c2b8f6e4f10",
	}[schema.Format]
	if text == "" {
		text = strings.Repeat("x", max(1, int(schema.MinLength)))
	}
	return text
}

func valueOr(value *float64, or float64) float64 {
	if value == nil {
		return or
	}
	return *value
}
