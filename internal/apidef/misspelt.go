package apidef

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// settingsPaths are the settings of OAS APIs, whose members the contract does not name.
var settingsPaths = [][]string{{"oas", extension}, {"oas", streaming}}

// streaming is the extension of OAS APIs for streams.
const streaming = "x-tyk-streaming"

// MisspeltSettings returns the members of an OAS API's settings whose names differ from that of another member of the
// same object in case only. A gateway merges their values. Names of operations, which users choose, may differ so.
func MisspeltSettings(api json.RawMessage) (problems []Problem) {
	for _, at := range settingsPaths {
		visit(api, at, "", func(pointer string, settings json.RawMessage) {
			if at := misspelt(settings); at != "" {
				problems = append(problems, Problem{
					Path: pointer + at, Reason: "differs from the name of another member in case only",
				})
			}
		})
	}
	return problems
}

// misspelt returns the first member of an object in a document whose name differs from that of another one in case
// only, "" if there is none.
func misspelt(doc json.RawMessage) string {
	in := jsontext.NewDecoder(bytes.NewReader(doc))
	var seen []map[string]bool // the names of each object above the next token; nil for a list
	for {
		token, err := in.ReadToken()
		if err != nil { // the end
			return ""
		}
		depth := in.StackDepth()
		for len(seen) <= depth {
			seen = append(seen, nil)
		}
		switch kind, length := in.StackIndex(depth); {
		case token.Kind() == jsontext.KindBeginObject:
			seen[depth] = map[string]bool{}
		case kind == jsontext.KindBeginObject && token.Kind() == jsontext.KindString && length%2 == 1:
			name := folded(token.String())
			if at := in.StackPointer(); seen[depth][name] && at.Parent().LastToken() != "operations" {
				return string(at)
			}
			seen[depth][name] = true
		}
	}
}

// folded returns a name in the form in which gateways compare it with others, as strings.EqualFold does.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return unicode.ToLower(next)
			}
			r = next
		}
	}, name)
}
