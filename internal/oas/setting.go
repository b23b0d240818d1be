package oas

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// kind is the JSON type of a setting's value.
type kind int

const (
	object kind = iota
	dictionary
	list
	text
	flag
	integer
	natural
	number
	duration
	anything
	notSupported
)

// must says what a value of a kind has to be.
var must = map[kind]string{
	object:     "must be an object",
	dictionary: "must be an object",
	list:       "must be a list",
	text:       "must be a string",
	flag:       "must be true or false",
	integer:    "must be an integer",
	natural:    "must be an integer that is not negative",
	number:     "must be a number",
	duration:   `must be a string, such as "1m30s"`,
}

// setting is a rule of the table of settings: what the value of a member of the extension has to be, and what becomes
// of it in the classic definition.
//
// A rule applies to a scope, an object of the classic definition. That of the extension is the whole definition; the
// rules of a list's elements apply to an element of a list there.
type setting struct {
	kind    kind
	members settings // of an object
	element *setting // of a list and of a dictionary

	// at is the place of the value in the scope: names, separated by slashes. It is nil if the gateway reads the setting
	// from the document, and the classic definition does not have it.
	at []string
	// value returns what is written there. It is called with no value for what an element has without the setting.
	value func(gjson.Result) any

	// items is set for a list whose elements are written to a list at the place, each as a scope of its own.
	items bool
	// endpoint is the list of the classic definition that has an element for each operation with this setting. It is ""
	// if there is none.
	endpoint string

	// check says what is wrong with a value of the kind; "" if nothing is.
	check func(gjson.Result) string
	// finish writes what does not depend on one member alone. It is called after the rules of the members.
	finish func(e *extraction, scope classic, value gjson.Result)
	// pick returns the rule that applies to a value, if that depends on more than the place of the value.
	pick func(e *extraction, name string, value gjson.Result) *setting
}

type settings map[string]*setting

// zeros writes what the scope has where none of the settings is made.
func (s settings) zeros(scope classic) {
	for _, rule := range s {
		if rule.at != nil && rule.value != nil {
			scope.set(rule.at, rule.value(gjson.Result{}))
		}
		if rule.kind == object {
			rule.members.zeros(scope)
		}
	}
}

func leaf(k kind, value func(gjson.Result) any, at []string) *setting {
	rule := &setting{kind: k, value: value}
	if len(at) > 0 {
		rule.at = strings.Split(at[0], "/")
	}
	return rule
}

// textAt returns the rule for a string that is copied to a place, if there is one.
func textAt(at ...string) *setting { return leaf(text, asText, at) }

func flagAt(at ...string) *setting    { return leaf(flag, asFlag, at) }
func integerAt(at ...string) *setting { return leaf(integer, asNumber, at) }
func naturalAt(at ...string) *setting { return leaf(natural, asNumber, at) }
func numberAt(at ...string) *setting  { return leaf(number, asNumber, at) }
func durationAt(at ...string) *setting {
	return leaf(duration, asDuration, at)
}

// notAt returns the rule for a flag whose opposite is written: the extension enables what the definition disables.
func notAt(at string) *setting { return leaf(flag, asNot, []string{at}) }

// disabledAt is notAt for a member that the definition has only if it is true.
func disabledAt(at string) *setting { return leaf(flag, asTrueOrNothing, []string{at}) }

// secondsAt returns the rule for a duration that is written as a number of seconds.
func secondsAt(at string) *setting { return leaf(duration, asSeconds, []string{at}) }

// wholeSecondsAt is secondsAt for an integer of the gateway's.
func wholeSecondsAt(at string) *setting { return leaf(duration, asWholeSeconds, []string{at}) }

func asText(v gjson.Result) any { return textOf(v) }
func asFlag(v gjson.Result) any { return v.Type == gjson.True }
func asNot(v gjson.Result) any  { return v.Type != gjson.True }

func asTrueOrNothing(v gjson.Result) any {
	if v.Type == gjson.True {
		return nil
	}
	return true
}

// asNumber keeps the text of a number.
func asNumber(v gjson.Result) any {
	if v.Type != gjson.Number {
		return 0
	}
	return json.RawMessage(v.Raw)
}

func asDuration(v gjson.Result) any     { return durationOf(v).String() }
func asSeconds(v gjson.Result) any      { return durationOf(v).Seconds() }
func asWholeSeconds(v gjson.Result) any { return int64(durationOf(v).Seconds()) }

// durationOf returns a duration, and 0 for a text that is none, as a gateway decodes it.
func durationOf(v gjson.Result) time.Duration {
	d, _ := time.ParseDuration(textOf(v))
	return d
}

// listAt returns the rule for a list that is copied to a place.
func listAt(element *setting, at ...string) *setting {
	rule := leaf(list, nil, at)
	rule.element = element
	if rule.at != nil {
		rule.finish = func(_ *extraction, scope classic, value gjson.Result) {
			scope.set(rule.at, json.RawMessage(value.Raw))
		}
	}
	return rule
}

func textsAt(at ...string) *setting { return listAt(textAt(), at...) }

// itemsAt returns the rule for a list whose elements become elements of a list at a place. The members of an element
// apply to the element there.
func itemsAt(at string, members settings) *setting {
	rule := leaf(list, nil, []string{at})
	rule.element, rule.items = objectOf(members), true
	return rule
}

// pairsAt returns the rule for a list of two members each that becomes an object at a place: one member is the name
// there, the other the value.
func pairsAt(at, name, value string) *setting {
	rule := leaf(list, nil, []string{at})
	rule.element = objectOf(settings{name: textAt(), value: textAt()})
	rule.finish = func(_ *extraction, scope classic, v gjson.Result) {
		scope.set(rule.at, pairs(v, name, value))
	}
	return rule
}

func pairs(v gjson.Result, name, value string) map[string]string {
	named := map[string]string{}
	for _, element := range elements(v) {
		named[textOf(get(element, name))] = textOf(get(element, value))
	}
	return named
}

// anythingAt returns the rule for an object that the gateway does not look into.
func anythingAt(at string) *setting {
	rule := leaf(dictionary, nil, []string{at})
	rule.element = &setting{kind: anything}
	rule.finish = func(_ *extraction, scope classic, v gjson.Result) { scope.set(rule.at, json.RawMessage(v.Raw)) }
	return rule
}

// objectOf returns the rule for an object whose members apply to the scope of the object that has it.
func objectOf(members settings) *setting { return &setting{kind: object, members: members} }

// enabledAt returns the rule for an object that has nothing but enabled.
func enabledAt(at ...string) *setting { return objectOf(settings{"enabled": flagAt(at...)}) }

// then sets what is done after the rules of the members.
func (s *setting) then(finish func(e *extraction, scope classic, value gjson.Result)) *setting {
	s.finish = finish
	return s
}

// dictionaryOf returns the rule for an object with any names.
func dictionaryOf(element *setting) *setting { return &setting{kind: dictionary, element: element} }

// is reports whether a value is of the kind.
func (k kind) is(v gjson.Result) bool {
	switch k {
	case object, dictionary:
		return v.IsObject()
	case list:
		return v.IsArray()
	case text, duration:
		return v.Type == gjson.String
	case flag:
		return v.IsBool()
	case integer:
		_, err := strconv.ParseInt(v.Raw, 10, 64)
		return v.Type == gjson.Number && err == nil
	case natural:
		_, err := strconv.ParseUint(v.Raw, 10, 64)
		return v.Type == gjson.Number && err == nil
	case number:
		return v.Type == gjson.Number && !math.IsInf(v.Num, 0)
	case anything:
		return true
	case notSupported:
	}
	return false
}

// copyTo writes a value to a member of the scope as it is.
func copyTo(name string) func(*extraction, classic, gjson.Result) {
	return func(_ *extraction, scope classic, v gjson.Result) { scope[name] = json.RawMessage(v.Raw) }
}

// rename writes the members of an object to an object of the scope, under the names that they have there.
func rename(at string, names map[string]string) func(*extraction, classic, gjson.Result) {
	return func(_ *extraction, scope classic, v gjson.Result) {
		renamed := scope.child(at)
		for name, value := range membersOf(v) {
			if to := names[name]; to != "" && value.Type != gjson.Null {
				renamed[to] = json.RawMessage(value.Raw)
			}
		}
	}
}
