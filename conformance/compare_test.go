package conformance

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompare compares a response with an example of a story about an organisation org-1 and a user user-1, which the
// response binds.
func TestCompare(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, example, actual string
		scenario              Scenario
		varies                string
		lenient               bool
		want                  []string
	}{
		{name: "the same", example: `{"a":[1,true,null,"x"]}`, actual: `{"a":[1,true,null,"x"]}`},
		{name: "a value of the run", example: `{"org":"org-1","all":{"org-1":"of org-1"}}`, actual: `{"org":"0f","all":{"0f":"of 0f"}}`},
		{name: "the example's value instead of the run's", example: `{"org":"org-1"}`, actual: `{"org":"org-1"}`, want: []string{`/org: expected "0f", got "org-1"`}},
		{name: "a value of the response", example: `{"id":"user-1","self":"user-1"}`, actual: `{"id":"7","self":"7"}`},
		{name: "two values of the response", example: `{"id":"user-1","self":"user-1"}`, actual: `{"id":"7","self":"8"}`, want: []string{`/self: expected "7", got "8"`}},
		{name: "an empty value of the response", example: `{"id":"user-1"}`, actual: `{"id":""}`, want: []string{`/id: expected a value, got an empty text`}},
		{name: "another type", example: `{"a":1}`, actual: `{"a":"1"}`, want: []string{`/a: expected 1, got "1"`}},
		{name: "null for an object", example: `{"a":{}}`, actual: `{"a":null}`, want: []string{`/a: expected {}, got null`}},
		{name: "an object for null", example: `{"a":null}`, actual: `{"a":{}}`, want: []string{`/a: expected null, got {}`}},
		{name: "a missing member", example: `{"a":1,"b":2}`, actual: `{"a":1}`, want: []string{`/b: is missing, expected 2`}},
		{name: "an optional member", example: `{"a":1,"b":2}`, actual: `{"a":1}`, scenario: Scenario{optional: []string{"/b"}}},
		{name: "another member", example: `{"a":1}`, actual: `{"a":1,"b/c":2}`, want: []string{`/b~1c: is not in the example, got 2`}},
		{name: "an open object", example: `{"a":{}}`, actual: `{"a":{"b":2}}`, scenario: Scenario{open: []string{"/a"}}},
		{name: "a lenient comparison", example: `{"a":{}}`, actual: `{"a":{"b":2},"c":1}`, lenient: true},
		{name: "a property that differs", example: `{"a":{"time":"1"}}`, actual: `{"a":{"time":"2"}}`},
		{name: "a property that differs in its type", example: `{"time":"1"}`, actual: `{"time":2}`, want: []string{`/time: expected a text, got 2`}},
		{name: "a pointer that differs", example: `{"a":[{"b":1},{"b":2}]}`, actual: `{"a":[{"b":3},{"b":4}]}`, scenario: Scenario{differs: []string{"/a/*/b"}}},
		{name: "a shorter list", example: `{"a":[1,2]}`, actual: `{"a":[1]}`, want: []string{`/a: expected 2 elements, got 1: [1]`}},
		{name: "among others", example: `{"a":[{"id":"org-1","n":1}]}`, actual: `{"a":[{"id":"x"},{"id":"0f","n":1}]}`, scenario: Scenario{among: map[string]string{"/a": "/id"}}},
		{name: "among others, changed", example: `{"a":[{"id":"org-1","n":1}]}`, actual: `{"a":[{"id":"x"},{"id":"0f","n":2}]}`, scenario: Scenario{among: map[string]string{"/a": "/id"}}, want: []string{`/a/1/n: expected 1, got 2`}},
		{name: "not among others", example: `{"a":["org-1"]}`, actual: `{"a":["x"]}`, scenario: Scenario{among: map[string]string{"/a": ""}}, want: []string{`/a: has no element with the value "0f" among its 1`}},
		{name: "a message that varies", example: `{"Message":"refused: why"}`, actual: `{"Message":"refused: no"}`, varies: "why"},
		{name: "a message that varies elsewhere", example: `{"Message":"refused: why"}`, actual: `{"Message":"denied: why"}`, varies: "why", want: []string{`/Message: expected "refused: why", got "denied: why"`}},
		{name: "a message that lacks what varies", example: `{"Message":"refused: why"}`, actual: `{"Message":"refused: "}`, varies: "why", want: []string{`/Message: expected "refused: why", got "refused: "`}},
		{name: "a value of the run that varies", example: `{"Message":"no org-1"}`, actual: `{"Message":"no x"}`, varies: "org-1", want: []string{`/Message: expected "no 0f", got "no x"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			suite := &Suite{differs: map[string]bool{"time": true}, values: map[string]*storyValue{
				"org": {name: "org", example: "org-1", fresh: "{hex:2}"}, "user": {name: "user", example: "user-1"},
			}}
			suite.matcher = newMatcher(suite.values)
			var example, actual any
			require.NoError(t, json.Unmarshal([]byte(test.example), &example))
			require.NoError(t, json.Unmarshal([]byte(test.actual), &actual))
			c := comparison{
				story: newStory(suite, "r1", bytes.NewReader([]byte{0x0f})), scenario: &test.scenario,
				varies: test.varies, lenient: test.lenient,
			}
			c.compare("", example, actual)
			var got []string
			for _, d := range c.differences {
				got = append(got, d.String())
			}
			require.Equal(t, test.want, got)
		})
	}
}

// TestLongerExamplesAreReplacedFirst has two values of which one begins with the other.
func TestLongerExamplesAreReplacedFirst(t *testing.T) {
	t.Parallel()
	suite := &Suite{values: map[string]*storyValue{
		"short": {name: "short", example: "5fa2", fresh: "s"}, "long": {name: "long", example: "5fa2b3", fresh: "L-{run}"},
		"renamed": {name: "renamed", fresh: "R"}, "later": {name: "later", example: "68b2"},
	}}
	suite.matcher = newMatcher(suite.values)
	s := newStory(suite, "r1", bytes.NewReader(nil))
	require.Equal(t, "L-r1 s S 68b2 R", s.text("5fa2b3 5fa2 ${short:upper} 68b2 ${renamed}", nil, nil))
	require.Equal(t, "R", s.text("5fa2", map[string]string{"short": "renamed"}, nil))
	require.Equal(t, "7", s.text("${response:/a/0}", nil, map[string]any{"a": []any{7.0}}))
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "''",
		"plain":                          "'plain'",
		"it's $HOME":                     `'it'\''s $HOME'`,
		"key " + marked("KEY") + " end":  `'key '"$KEY"' end'`,
		marked("KEY"):                    `"$KEY"`,
		"/a/%EE%80%80USER_2%EE%80%81?b=": `'/a/'"$USER_2"'?b='`,
	} {
		require.Equal(t, want, quoted(text))
	}
}

func TestFreshValues(t *testing.T) {
	t.Parallel()
	s := newStory(&Suite{}, "r1", bytes.NewReader(bytes.Repeat([]byte{0xab}, 64)))
	require.Equal(t, "check-r1-abababab", s.expand("check-{run}-{hex:8}"))
	require.Equal(t, "abababab-abab-4bab-8bab-abababababab", s.expand("{uuid}"))
	require.Equal(t, "aba", s.expand("{hex:3}"))
}
