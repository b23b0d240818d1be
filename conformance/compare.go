package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Difference is one value of a response that is not as expected.
type Difference struct {
	// Pointer is a JSON pointer into the body, or "status" or "schema".
	Pointer string `json:"pointer"`
	// Reason says what is wrong.
	Reason string `json:"reason"`
}

// String formats the difference as one line.
func (d Difference) String() string {
	if d.Pointer == "" {
		return d.Reason
	}
	return d.Pointer + ": " + d.Reason
}

// comparison compares a response with its example, and binds the values that the response is the first to have.
type comparison struct {
	story    *story
	as       map[string]string
	varies   string
	exchange int
	// scenario has the exceptions. nil binds values only.
	scenario *Scenario
	// lenient allows members that the example lacks.
	lenient bool

	differences []Difference
}

func (c *comparison) reportf(pointer, format string, args ...any) {
	c.differences = append(c.differences, Difference{pointer, fmt.Sprintf(format, args...)})
}

// exceptions returns the scenario, or one without exceptions.
func (c *comparison) exceptions() *Scenario {
	if c.scenario == nil {
		return &Scenario{}
	}
	return c.scenario
}

// compare compares the value of a member with that of the example.
func (c *comparison) compare(pointer string, example, actual any) {
	name := lastName(pointer)
	if c.story.suite.differs[name] || anyPointerMatches(c.exceptions().differs, pointer) {
		c.compareType(pointer, example, actual)
		return
	}
	switch example := example.(type) {
	case map[string]any:
		if members, ok := actual.(map[string]any); ok {
			c.compareMembers(pointer, example, members)
			return
		}
	case []any:
		if elements, ok := actual.([]any); ok {
			c.compareElements(pointer, example, elements)
			return
		}
	case string:
		if text, ok := actual.(string); ok {
			c.compareText(pointer, example, text)
			return
		}
	default:
		if example == actual {
			return
		}
	}
	c.reportf(pointer, "expected %s, got %s", shown(c.story.value(example, c.as, nil)), shown(actual))
}

func (c *comparison) compareType(pointer string, example, actual any) {
	if want, got := typeOf(example), typeOf(actual); want != got {
		c.reportf(pointer, "expected %s, got %s", want, shown(actual))
	}
}

func (c *comparison) compareMembers(pointer string, example, actual map[string]any) {
	expected := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(example)) {
		name := c.story.text(key, c.as, nil)
		expected[name] = true
		at := below(pointer, name)
		value, ok := actual[name]
		switch {
		case ok:
			c.compare(at, example[key], value)
		case !anyPointerMatches(c.exceptions().optional, at):
			c.reportf(at, "is missing, expected %s", shown(c.story.value(example[key], c.as, nil)))
		}
	}
	if c.lenient || anyPointerMatches(c.exceptions().open, pointer) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(actual)) {
		at := below(pointer, name)
		if !expected[name] && !anyPointerMatches(c.exceptions().optional, at) {
			c.reportf(at, "is not in the example, got %s", shown(actual[name]))
		}
	}
}

func (c *comparison) compareElements(pointer string, example, actual []any) {
	for list, identity := range c.exceptions().among {
		if pointerMatches(list, pointer) {
			c.compareAmong(pointer, identity, example, actual)
			return
		}
	}
	if len(example) != len(actual) {
		c.reportf(pointer, "expected %d elements, got %d: %s", len(example), len(actual), shown(actual))
		return
	}
	for i := range example {
		c.compare(fmt.Sprintf("%s/%d", pointer, i), example[i], actual[i])
	}
}

// compareAmong looks for each element of the example in a list that has elements of others, too.
func (c *comparison) compareAmong(pointer, identity string, example, actual []any) {
	for _, want := range example {
		id := textAt(c.story.value(want, c.as, nil), identity)
		i := slices.IndexFunc(actual, func(got any) bool { return textAt(got, identity) == id })
		if i < 0 {
			c.reportf(pointer, "has no element with %s %q among its %d", nameOf(identity), id, len(actual))
			continue
		}
		c.compare(fmt.Sprintf("%s/%d", pointer, i), want, actual[i])
	}
}

func nameOf(identity string) string {
	if identity == "" {
		return "the value"
	}
	return identity
}

func (c *comparison) compareText(pointer, example, actual string) {
	if name, ok := c.story.unbound(example, c.as); ok {
		if actual == "" {
			c.reportf(pointer, "expected a value, got an empty text")
			return
		}
		c.story.bound[name] = actual
		c.story.fromResponse[name] = source{c.exchange, pointer}
		return
	}
	expected := c.story.text(example, c.as, nil)
	if expected == actual || c.matchesVarying(pointer, example, actual) {
		return
	}
	c.reportf(pointer, "expected %s, got %s", shown(expected), shown(actual))
}

// matchesVarying reports whether a message is as in the example, but for the part that varies.
func (c *comparison) matchesVarying(pointer, example, actual string) bool {
	if c.varies == "" || pointer != "/Message" || c.story.suite.byExample(c.varies) != nil {
		return false
	}
	before, after, ok := strings.Cut(example, c.varies)
	return ok && len(actual) > len(before)+len(after) && strings.HasPrefix(actual, before) &&
		strings.HasSuffix(actual, after)
}

func lastName(pointer string) string {
	names := splitPointer(pointer)
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a text"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

// maxShown is how many bytes of a value a difference shows.
const maxShown = 300

// shown returns a value as JSON, cut off if it is long.
func shown(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return shortened(string(text), maxShown)
}

func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
