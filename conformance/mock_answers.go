package conformance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
)

// answer is one response that the contract documents.
type answer struct {
	// code is the key of the response: a status, a range such as 4XX, or default.
	code string
	// status is sent. For a range it is the lowest, for default 500.
	status  int
	outcome string
	header  map[string]string
	// mediaType is "" for a response without content.
	mediaType string
	// body returns the body, which is made when it is needed. nil is no body.
	body func() ([]byte, error)
}

// answersOf returns the documented responses of an operation: the lowest status first, and "ok" before other names.
func answersOf(op *Operation) ([]*answer, error) {
	var all []*answer
	for code, response := range op.declared.Responses.Map() {
		base := answer{code: code, status: statusOf(op, code), header: headersOf(response.Value)}
		if len(response.Value.Content) == 0 {
			base.outcome, _ = response.Value.Extensions[outcomeKey].(string)
			all = append(all, &base)
		}
		for mediaType, content := range response.Value.Content {
			base.mediaType = mediaType
			found, err := examplesOf(base, content)
			if err != nil {
				return nil, fmt.Errorf("response %s: %w", code, err)
			}
			all = append(all, found...)
		}
	}
	slices.SortFunc(all, func(a, b *answer) int {
		return cmp.Or(cmp.Compare(a.status, b.status), -compareBool(a.outcome == outcomeOK, b.outcome == outcomeOK),
			cmp.Compare(a.outcome, b.outcome), -compareBool(isJSON(a.mediaType), isJSON(b.mediaType)),
			cmp.Compare(a.mediaType, b.mediaType))
	})
	return all, nil
}

// statusOf returns the status that stands for the key of a response: the lowest of a range. The default response is
// that of a fault, unless the operation declares no other one of success.
func statusOf(op *Operation, code string) int {
	if status, ok := declaredStatus(code); ok {
		return status
	}
	for other := range op.declared.Responses.Map() {
		if status, ok := declaredStatus(other); ok && status < http.StatusBadRequest {
			return http.StatusInternalServerError
		}
	}
	return http.StatusOK
}

// declaredStatus returns the status of a key, or the lowest of a range. ok is false for the default response.
func declaredStatus(code string) (status int, ok bool) {
	status, err := strconv.Atoi(strings.NewReplacer("X", "0", "x", "0").Replace(code))
	return status, err == nil
}

// framing are the headers that the server itself sends, or that say how a body is encoded: the mock's body is not that
// of the example.
var framing = []string{"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Transfer-Encoding"}

func headersOf(response *openapi3.Response) map[string]string {
	header := map[string]string{}
	for name, declared := range response.Headers {
		if !slices.Contains(framing, http.CanonicalHeaderKey(name)) {
			header[name] = headerText(headerSample(declared.Value))
		}
	}
	return header
}

// headerSample returns the example of a header, or a value of its schema.
func headerSample(declared *openapi3.Header) any {
	if declared.Example != nil {
		return declared.Example
	}
	for _, name := range slices.Sorted(maps.Keys(declared.Examples)) {
		if example := declared.Examples[name].Value; example != nil && example.Value != nil {
			return example.Value
		}
	}
	if declared.Schema != nil {
		return sampleOf(declared.Schema.Value)
	}
	for _, content := range declared.Content {
		if content.Schema != nil {
			return sampleOf(content.Schema.Value)
		}
	}
	return "string"
}

// headerText writes a value as OpenAPI's style "simple": lists with commas, and numbers without an exponent.
func headerText(value any) string {
	switch value := value.(type) {
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case []any:
		var texts []string
		for _, each := range value {
			texts = append(texts, headerText(each))
		}
		return strings.Join(texts, ",")
	case map[string]any:
		var texts []string
		for _, name := range slices.Sorted(maps.Keys(value)) {
			texts = append(texts, name, headerText(value[name]))
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(value)
}

// examplesOf returns an answer for each example of a content. Without one, a value is made of the schema.
func examplesOf(base answer, content *openapi3.MediaType) ([]*answer, error) {
	examples := map[string]any{}
	for name, example := range content.Examples {
		if example.Value != nil && example.Value.Value != nil {
			examples[name] = example.Value.Value
		}
	}
	var schema *openapi3.Schema
	if content.Schema != nil {
		schema = content.Schema.Value
	}
	if len(examples) == 0 {
		examples[""] = content.Example
	}
	var all []*answer
	for name, value := range examples {
		one := base
		one.outcome = name
		if value == nil && name == "" {
			one.body = sync.OnceValues(func() ([]byte, error) { return bodyOf(base.mediaType, schema, sampleOf(schema)) })
		} else {
			body, err := bodyOf(base.mediaType, schema, value)
			if err != nil {
				return nil, fmt.Errorf("example %s: %w", name, err)
			}
			one.body = func() ([]byte, error) { return body, nil }
		}
		all = append(all, &one)
	}
	return all, nil
}

// bodyOf returns a value as a body: as JSON, unless it is a text of another media type.
func bodyOf(mediaType string, schema *openapi3.Schema, value any) ([]byte, error) {
	if text, isText := value.(string); isText && !isJSON(mediaType) {
		return []byte(text), nil
	}
	return encode(schema, value)
}

func (a *answer) succeeds() bool {
	return a.status >= http.StatusOK && a.status < http.StatusBadRequest
}

// withStatus returns the first answer for a status: one with this status, or else for its range, or the default.
func withStatus(answers []*answer, status int) *answer {
	code := strconv.Itoa(status)
	for _, key := range []string{code, code[:1] + "XX", "default"} {
		i := slices.IndexFunc(answers, func(a *answer) bool { return strings.EqualFold(a.code, key) })
		if i >= 0 {
			return answers[i]
		}
	}
	return nil
}

// negotiate returns the answer that says the same as chosen in the first media type that the client accepts.
func negotiate(answers []*answer, chosen *answer, r *http.Request) *answer {
	for accepted := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		accepted, _, _ = strings.Cut(accepted, ";")
		family, anyOfFamily := strings.CutSuffix(strings.TrimSpace(accepted), "/*")
		for _, each := range answers {
			if each.code != chosen.code || each.outcome != chosen.outcome {
				continue
			}
			name, _, _ := strings.Cut(each.mediaType, ";")
			if name == strings.TrimSpace(accepted) || anyOfFamily && strings.HasPrefix(name, family+"/") {
				return each
			}
		}
	}
	return chosen
}

// extOrder is the key of a property's place in JSON, which clients may rely on.
const extOrder = "x-order"

// encode encodes a value as JSON. The members of an object have the order of x-order, and of their names without it.
func encode(schema *openapi3.Schema, value any) ([]byte, error) {
	var out bytes.Buffer
	err := encodeTo(&out, schema, value)
	return out.Bytes(), err
}

func encodeTo(out *bytes.Buffer, schema *openapi3.Schema, value any) error {
	switch value := value.(type) {
	case map[string]any:
		return encodeObject(out, schema, value)
	case []any:
		var items *openapi3.Schema
		if schema != nil && schema.Items != nil {
			items = schema.Items.Value
		}
		out.WriteByte('[')
		for i, each := range value {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := encodeTo(out, items, each); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the line break
	return nil
}

func encodeObject(out *bytes.Buffer, schema *openapi3.Schema, value map[string]any) error {
	properties := propertiesOf(schema)
	names := slices.SortedFunc(maps.Keys(value), func(a, b string) int {
		return cmp.Or(cmp.Compare(orderOf(properties[a]), orderOf(properties[b])), cmp.Compare(a, b))
	})
	out.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := encodeTo(out, nil, name); err != nil {
			return err
		}
		out.WriteByte(':')
		var property *openapi3.Schema
		if properties[name] != nil {
			property = properties[name].Value
		}
		if err := encodeTo(out, property, value[name]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// propertiesOf returns the properties of a schema and of those that it is composed of.
func propertiesOf(schema *openapi3.Schema) openapi3.Schemas {
	if schema == nil {
		return nil
	}
	if len(schema.AllOf) == 0 {
		return schema.Properties
	}
	all := maps.Clone(schema.Properties)
	if all == nil {
		all = openapi3.Schemas{}
	}
	for _, part := range schema.AllOf {
		maps.Copy(all, propertiesOf(part.Value))
	}
	return all
}

// orderOf returns the x-order of a property; it comes last without one.
func orderOf(property *openapi3.SchemaRef) float64 {
	const last = 1 << 30
	if property == nil {
		return last
	}
	for _, extensions := range []map[string]any{property.Extensions, property.Value.Extensions} {
		switch order := extensions[extOrder].(type) {
		case float64:
			return order
		case int:
			return float64(order)
		}
	}
	return last
}
