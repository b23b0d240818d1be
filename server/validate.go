package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/internal/document"
)

const (
	// maxBody is the largest body of anything else: an organisation or a session is a few kilobytes.
	maxBody = 4 << 20
	// maxProblems bounds how many problems of one body are listed.
	maxProblems = 20
	mediaForm   = echo.MIMEApplicationForm
)

var schemaOptions = []openapi3.SchemaValidationOption{openapi3.DisableSchemaErrorDetails(), openapi3.MultiErrors()}

// body is a request's body after validation.
type body struct {
	raw  json.RawMessage // compact, as the user wrote it
	form url.Values
}

// validate reads the body and fails if the request does not fit the contract.
func (s *Server) validate(c echo.Context, op *operation) error {
	var sent *body
	if op.body != nil && op.body.each == "" { // a long list is validated while it comes in (intake.go)
		var err error
		if sent, err = s.readBody(c, op.body); err != nil {
			return err
		}
		c.Set(bodyKey, sent)
	}
	if op.plain && c.Request().URL.RawQuery == "" {
		return nil
	}
	return op.filter(c, sent)
}

func (s *Server) readBody(c echo.Context, rules *bodyRules) (*body, error) {
	r, err := decoded(c, newPacedBody(c, s.Limits.BodyTimeout))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return rules.read(r)
}

// read reads a body and makes sure of its form, whatever the Content-Type says: clients send JSON as a form, as text
// and as nothing (facts §1.8).
func (rules *bodyRules) read(r io.Reader) (*body, error) {
	raw, err := io.ReadAll(&limited{body: r, left: maxBody})
	var known failure
	switch {
	case errors.As(err, &known):
		return nil, err
	case err != nil:
		return nil, failure{event: malformed, problems: []problem{{Reason: "the body broke off"}}, cause: err}
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, failure{event: emptyBody}
	case rules.mediaType == mediaForm:
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return nil, failure{event: malformed, problems: []problem{{Reason: "is not a form"}}, cause: err}
		}
		return &body{raw: raw, form: form}, nil
	}
	compact, err := document.Compact(raw)
	if err != nil {
		return nil, failure{event: malformed, problems: []problem{{Reason: err.Error()}}, cause: err}
	}
	return &body{raw: rules.spell(compact)}, nil
}

// spell writes the names that are matched in any case as the contract does.
func (rules *bodyRules) spell(raw json.RawMessage) json.RawMessage {
	if rules.names == nil {
		return raw
	}
	members := document.Members(raw)
	if members == nil {
		return raw
	}
	for i, m := range members {
		for _, name := range rules.names {
			if strings.EqualFold(m.Name, name) {
				members[i] = document.NewMember(name, m.Value)
			}
		}
	}
	return document.Object(members)
}

// filter checks parameters and body with kin-openapi, on a copy of the request: it replaces bodies and would look at the
// Content-Type.
func (op *operation) filter(c echo.Context, sent *body) error {
	r := c.Request().WithContext(c.Request().Context())
	r.Header = http.Header{}
	if sent != nil {
		r.Header.Set(echo.HeaderContentType, op.body.mediaType)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent.raw)), int64(len(sent.raw))
	}
	params := map[string]string{}
	for i, name := range c.ParamNames() {
		params[name] = c.ParamValues()[i]
	}
	err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, QueryParams: c.QueryParams(), Route: op.route,
		Options: &openapi3filter.Options{
			MultiError: true, SkipSettingDefaults: true, ExcludeRequestBody: sent == nil,
			SchemaValidationOptions: schemaOptions,
		},
	})
	if err != nil {
		return requestFailure(err)
	}
	return nil
}

// requestFailure turns kin-openapi's error into ours.
func requestFailure(err error) failure {
	for _, each := range flatten(err) {
		wrong, ok := errors.AsType[*openapi3filter.RequestError](each)
		if !ok || wrong.Parameter == nil {
			continue
		}
		if errors.Is(each, openapi3filter.ErrInvalidRequired) {
			return failure{event: missingParameter, cause: err}
		}
		reason := problemsOf(wrong.Err)
		return failure{event: badParameter, problems: []problem{{Path: "/" + wrong.Parameter.Name, Reason: reason[0].Reason}}, cause: err}
	}
	return failure{event: malformed, problems: problemsOf(err), cause: errors.New("the body does not fit the contract")}
}

// flatten lists the errors in a tree of them.
func flatten(err error) []error {
	if many, ok := errors.AsType[openapi3.MultiError](err); ok {
		var all []error
		for _, each := range many {
			all = append(all, flatten(each)...)
		}
		return all
	}
	return []error{err}
}

// problemsOf says what is wrong, without the values: kin-openapi's texts would quote them.
func problemsOf(err error) []problem {
	var problems []problem
	for _, each := range flatten(err) {
		if len(problems) == maxProblems {
			break
		}
		if wrong, ok := errors.AsType[*openapi3.SchemaError](each); ok {
			problems = append(problems, problem{Path: pointer(wrong.JSONPointer()), Reason: reasonOf(wrong)})
		} else {
			problems = append(problems, problem{Reason: "does not have the form that the contract asks for"})
		}
	}
	return problems
}

// reasonOf is a schema error in words. kin-openapi's own quote the value in a few places; those get our words.
func reasonOf(wrong *openapi3.SchemaError) string {
	switch wrong.SchemaField {
	case "type", "nullable", "minLength", "maxLength", "required", "minimum", "maximum":
		return wrong.Reason
	case "enum":
		return "is not one of the values that the contract allows"
	}
	return "does not meet the contract's " + wrong.SchemaField
}

// pointer writes a JSON pointer (RFC 6901).
func pointer(path []string) string {
	var out strings.Builder
	for _, name := range path {
		out.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return out.String()
}

// bodyOf is the request's body, as the user wrote it but for insignificant whitespace.
func bodyOf(c echo.Context) *body {
	sent, _ := c.Get(bodyKey).(*body)
	return sent
}

// decode takes a typed body out of what was validated. Its names are matched exactly: encoding/json would take
// "EMAIL_ADDRESS", which the contract does not know and nothing has validated.
func decode[T any](c echo.Context) (T, error) {
	var v T
	if _, err := fastjson.Parse(bodyOf(c).raw, &v, fastjson.DontMatchCaseInsensitiveStructFields); err != nil {
		wrong := problem{Reason: notWhole}
		if at, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && at.Field != "" {
			wrong.Path = pointer(strings.Split(at.Field, "."))
		}
		return v, failure{event: malformed, problems: []problem{wrong}, cause: err}
	}
	return v, nil
}

// notWhole is what is wrong with a number that is an integer by the schema, and none to a program in Go: it has 20 digits, or is
// written as 1.0 or 1e3.
const notWhole = "must be a whole number of 64 bits, and written as one"

// unkeepable says where in a body text is that Postgres cannot keep.
func unkeepable(sent *body) []problem {
	var problems []problem
	if sent != nil {
		for _, m := range document.Members(sent.raw) {
			if bytes.Contains(m.Value, []byte(`\u0000`)) {
				problems = append(problems, problem{Path: pointer([]string{m.Name}), Reason: "has a NUL"})
			}
		}
	}
	if problems == nil {
		problems = []problem{{Reason: "has a value that cannot be kept"}}
	}
	return problems[:min(len(problems), maxProblems)]
}

// within places problems of a part in the whole.
func within(prefix string, problems []problem) []problem {
	placed := make([]problem, 0, len(problems))
	for _, p := range problems {
		placed = append(placed, problem{Path: prefix + p.Path, Reason: p.Reason})
	}
	return placed
}
