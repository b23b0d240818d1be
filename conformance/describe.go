package conformance

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// describe fills in the curl lines of the exchanges, and replaces secrets by variables.
func (r *run) describe() {
	secrets := r.secrets()
	for i := range r.result.Exchanges {
		e := &r.result.Exchanges[i]
		e.Curl = curl(r.sent[i])
		e.Response, e.Request = redact(e.Response, secrets), redact(e.Request, secrets)
	}
	for i, d := range r.result.Differences {
		r.result.Differences[i].Reason = distinct(redact(d.Reason, secrets))
	}
	r.result.Reason = redact(r.result.Reason, secrets)
	for i, left := range r.result.Leftovers {
		r.result.Leftovers[i] = redact(left, secrets)
	}
	for name, from := range r.story.fromResponse {
		if from.exchange < len(r.result.Exchanges)-1 {
			e := &r.result.Exchanges[from.exchange]
			e.assigns = append(e.assigns, assignment{strings.ToUpper(name), from.pointer})
			slices.SortFunc(e.assigns, func(a, b assignment) int { return cmp.Compare(a.variable, b.variable) })
		}
	}
}

// distinct completes a reason that says the same twice, because both values are secrets of one name.
func distinct(reason string) string {
	expected, got, ok := strings.Cut(strings.TrimPrefix(reason, "expected "), ", got ")
	if ok && expected == got {
		return reason + ", which is another value"
	}
	return reason
}

// secrets returns the names of variables by the credentials that were sent.
func (r *run) secrets() map[string]string {
	secrets := maps.Clone(r.issued)
	for _, request := range r.sent {
		if request.variable != "" && request.secret != "" {
			secrets[request.secret] = request.variable
		}
	}
	for scheme, secret := range r.target.Secrets {
		if c := r.cfg.Suite.credentials[scheme]; c != nil && secret != "" {
			secrets[secret] = c.variable
		}
	}
	for _, c := range r.cfg.Suite.credentials {
		if value := r.story.bound[c.value]; value != "" {
			secrets[value] = strings.ToUpper(c.value)
		}
	}
	return secrets
}

// noteCredentials notes the credentials in a response: the texts that are where an example of the operation has one.
// The response may be another one than the scenario expects.
func (r *run) noteCredentials(op *Operation, response any) {
	for _, documented := range op.Responses {
		eachText("", documented.Example, func(pointer, example string) {
			v := r.cfg.Suite.byExample(example)
			if v == nil || !r.cfg.Suite.isCredential(v.name) {
				return
			}
			if text := textAt(response, pointer); text != "" {
				r.issued[text] = strings.ToUpper(v.name)
			}
		})
	}
}

// isCredential reports whether a value authenticates requests.
func (s *Suite) isCredential(name string) bool {
	for _, c := range s.credentials {
		if c.value == name {
			return true
		}
	}
	return false
}

// eachText calls do with each text in a JSON value and its pointer.
func eachText(pointer string, value any, do func(pointer, text string)) {
	switch v := value.(type) {
	case string:
		do(pointer, v)
	case []any:
		for i, element := range v {
			eachText(below(pointer, strconv.Itoa(i)), element, do)
		}
	case map[string]any:
		for name, member := range v {
			eachText(below(pointer, name), member, do)
		}
	}
}

// redact replaces secrets by the names of their variables, the longest first.
func redact(text string, secrets map[string]string) string {
	for _, secret := range slices.SortedFunc(maps.Keys(secrets), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	}) {
		text = strings.ReplaceAll(text, secret, "$"+secrets[secret])
	}
	return text
}
