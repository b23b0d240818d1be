package server

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
	"gatehouse/internal/httpbody"
	"gatehouse/internal/jsondoc"
)

// maxBody is the maximum size of a body that is not an import, in bytes. An organisation or a session has a few
// kilobytes.
const maxBody = 4 << 20

// readBody reads and parses a body. It ignores the Content-Type: clients send JSON as a form, as text, or without a
// type (docs/behaviour.md#conventions).
func readBody(c echo.Context, rules *contract.Body, timeout time.Duration) (body, error) {
	raw, err := httpbody.ReadAll(c.Response(), c.Request(), httpbody.Limits{Bytes: maxBody, Timeout: timeout})
	if err != nil {
		return body{}, err
	}
	if rules.MediaType == echo.MIMEApplicationForm {
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return body{}, malformed("", "is not a form", err)
		}
		return body{json: raw, form: form}, nil
	}
	compact, err := jsondoc.Compact(raw)
	if err != nil {
		return body{}, malformed("", err.Error(), err)
	}
	return body{json: canonicalNames(compact, rules.AnyCaseNames)}, nil
}

// canonicalNames writes the members that clients may write in any case as the contract does.
func canonicalNames(raw json.RawMessage, names []string) json.RawMessage {
	if names == nil {
		return raw
	}
	members := jsondoc.Members(raw)
	if members == nil {
		return raw
	}
	for i, m := range members {
		for _, name := range names {
			if strings.EqualFold(m.Name, name) {
				members[i] = jsondoc.NewMember(name, m.Value)
			}
		}
	}
	return jsondoc.Object(members)
}

// validate validates the parameters of a request, and its body unless that is nil.
func validate(c echo.Context, op *contract.Operation, body []byte) error {
	r := contract.Request{HTTP: c.Request(), PathParams: map[string]string{}, Query: c.QueryParams(), Body: body}
	for i, name := range c.ParamNames() {
		r.PathParams[name] = c.ParamValues()[i]
	}
	return op.Validate(r)
}

// nulProblems lists where a body that Postgres refused has a NUL character, which it cannot store.
func nulProblems(raw json.RawMessage) []contract.Problem {
	var problems []contract.Problem
	for _, m := range jsondoc.Members(raw) {
		if bytes.Contains(m.Value, []byte(`\u0000`)) {
			problems = append(problems, contract.Problem{Path: contract.Pointer(m.Name), Reason: "has a NUL"})
		}
	}
	if problems == nil {
		problems = []contract.Problem{{Reason: "has a value that cannot be kept"}}
	}
	return problems[:min(len(problems), contract.MaxProblems)]
}
