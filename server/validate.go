package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/contract"
	"gatehouse/internal/document"
	"gatehouse/internal/httpbody"
)

// maxBody is the largest body of anything else: an organisation or a session is a few kilobytes.
const maxBody = 4 << 20

// body is a request's body after validation.
type body struct {
	raw  json.RawMessage // compact, as the user wrote it
	form url.Values
}

// validate reads the body and fails if the request does not fit the contract.
func (s *Server) validate(c echo.Context, op *contract.Operation) error {
	var raw []byte
	if op.Body != nil && op.Body.List == "" { // a long list is validated while it comes in (importer)
		sent, err := s.readBody(c, op.Body)
		if err != nil {
			return err
		}
		c.Set(bodyKey, sent)
		raw = sent.raw
	}
	if op.Plain() && c.Request().URL.RawQuery == "" {
		return nil
	}
	return filter(c, op, raw)
}

// readBody reads the body and makes sure of its form, whatever the Content-Type says: clients send JSON as a form, as text
// and as nothing (facts §1.8).
func (s *Server) readBody(c echo.Context, rules *contract.Body) (*body, error) {
	raw, err := httpbody.ReadAll(c.Response(), c.Request(), httpbody.Limits{Bytes: maxBody, Timeout: s.Limits.BodyTimeout})
	if err != nil {
		return nil, err
	}
	if rules.MediaType == echo.MIMEApplicationForm {
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return nil, failure{event: malformed, problems: []contract.Problem{{Reason: "is not a form"}}, cause: err}
		}
		return &body{raw: raw, form: form}, nil
	}
	compact, err := document.Compact(raw)
	if err != nil {
		return nil, failure{event: malformed, problems: []contract.Problem{{Reason: err.Error()}}, cause: err}
	}
	return &body{raw: spell(compact, rules.AnyCaseNames)}, nil
}

// spell writes the names that are matched in any case as the contract does.
func spell(raw json.RawMessage, names []string) json.RawMessage {
	if names == nil {
		return raw
	}
	members := document.Members(raw)
	if members == nil {
		return raw
	}
	for i, m := range members {
		for _, name := range names {
			if strings.EqualFold(m.Name, name) {
				members[i] = document.NewMember(name, m.Value)
			}
		}
	}
	return document.Object(members)
}

// filter checks parameters and body by the contract.
func filter(c echo.Context, op *contract.Operation, body []byte) error {
	request := contract.Request{HTTP: c.Request(), PathParams: map[string]string{}, Query: c.QueryParams(), Body: body}
	for i, name := range c.ParamNames() {
		request.PathParams[name] = c.ParamValues()[i]
	}
	return op.Validate(request)
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
		wrong := contract.Problem{Reason: notWhole}
		if at, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && at.Field != "" {
			wrong.Path = contract.Pointer(strings.Split(at.Field, ".")...)
		}
		return v, failure{event: malformed, problems: []contract.Problem{wrong}, cause: err}
	}
	return v, nil
}

// notWhole is what is wrong with a number that is an integer by the schema, and none to a program in Go: it has 20 digits, or is
// written as 1.0 or 1e3.
const notWhole = "must be a whole number of 64 bits, and written as one"

// unkeepable says where in a body text is that Postgres cannot keep.
func unkeepable(sent *body) []contract.Problem {
	var problems []contract.Problem
	if sent != nil {
		for _, m := range document.Members(sent.raw) {
			if bytes.Contains(m.Value, []byte(`\u0000`)) {
				problems = append(problems, contract.Problem{Path: contract.Pointer(m.Name), Reason: "has a NUL"})
			}
		}
	}
	if problems == nil {
		problems = []contract.Problem{{Reason: "has a value that cannot be kept"}}
	}
	return problems[:min(len(problems), contract.MaxProblems)]
}
