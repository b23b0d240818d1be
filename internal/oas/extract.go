package oas

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// extraction makes the classic definition of a document.
type extraction struct {
	document     document
	definition   classic
	allowUnknown bool

	path    []string // of the value that is looked at, in the extension
	unknown []string
	checked bool // the values have been checked before
}

func newExtraction(doc []byte, options Options) *extraction {
	return &extraction{
		document: newDocument(doc), definition: clone(templates().Definition),
		allowUnknown: options.AllowUnknown,
	}
}

// extract makes the definition by the rule of the extension. The error says which setting is at fault.
func (e *extraction) extract(rule *setting) error {
	if err := e.apply(rule, e.definition, get(e.document.Result, Extension)); err != nil {
		return err
	}
	if e.definition["id"] == "" {
		delete(e.definition, "id") // as Tyk's own type writes it
	}
	return nil
}

// theVersion is the place of the only version of the definition of an OAS API.
const theVersion = "version_data/versions//"

// version returns the only version that the definition of an OAS API has.
func (e *extraction) version() classic {
	return e.definition.child("version_data").child("versions").child("")
}

// apply checks a value by its rule, and writes to the scope what becomes of it. It only checks if scope is nil.
func (e *extraction) apply(rule *setting, scope classic, value gjson.Result) error {
	if !rule.kind.is(value) {
		return e.fault(must[rule.kind])
	}
	if rule.check != nil {
		if message := rule.check(value); message != "" {
			return e.fault(message)
		}
	}
	var err error
	switch rule.kind {
	case object, dictionary:
		err = e.applyMembers(rule, scope, value)
	case list:
		err = e.applyElements(rule, scope, value)
	default:
		if scope != nil && rule.at != nil {
			scope.set(rule.at, rule.value(value))
		}
	}
	if err == nil && scope != nil && rule.finish != nil {
		rule.finish(e, scope, value)
	}
	return err
}

func (e *extraction) applyMembers(rule *setting, scope classic, value gjson.Result) error {
	for name, member := range membersOf(value) {
		if member.Type == gjson.Null {
			continue // absent, as in Go's decoder
		}
		e.path = append(e.path, name)
		if err := e.applyMember(rule, scope, name, member); err != nil {
			return err
		}
		e.path = e.path[:len(e.path)-1]
	}
	return nil
}

func (e *extraction) applyMember(rule *setting, scope classic, name string, value gjson.Result) error {
	member := rule.members[name]
	if rule.kind == dictionary {
		member, scope = rule.element, nil // what becomes of a dictionary is written by its finish
	}
	if member != nil && member.pick != nil {
		member = member.pick(e, name, value)
	}
	switch {
	case member == nil && e.checked:
		return nil
	case member == nil && e.allowUnknown:
		e.unknown = append(e.unknown, e.pointer())
		return nil
	case member == nil:
		return e.fault("is not a known setting")
	case member.kind == notSupported:
		return e.fault("MCP is not supported")
	}
	return e.apply(member, scope, value)
}

func (e *extraction) applyElements(rule *setting, scope classic, value gjson.Result) error {
	items := []any{}
	for i, element := range elements(value) {
		var item classic
		if rule.items && scope != nil {
			item = rule.element.item()
			items = append(items, item)
		}
		e.path = append(e.path, strconv.Itoa(i))
		if err := e.apply(rule.element, item, element); err != nil {
			return err
		}
		e.path = e.path[:len(e.path)-1]
	}
	if rule.items && scope != nil {
		scope.set(rule.at, items)
	}
	return nil
}

// build returns what becomes of a value that has been checked, for a list of the classic definition.
func (e *extraction) build(rule *setting, value gjson.Result) classic {
	checked := e.checked
	e.checked = true
	defer func() { e.checked = checked }()
	item := rule.item()
	_ = e.apply(rule, item, value) // has been checked
	return item
}

// item returns an element of a list of the classic definition, as it is without any setting.
func (s *setting) item() classic {
	item := classic{}
	s.members.zeros(item)
	return item
}

func (e *extraction) fault(message string) error {
	return &Error{Pointer: e.pointer(), Message: message}
}

// pointer returns the JSON pointer of the value that is looked at.
func (e *extraction) pointer() string { return pointerTo(append([]string{Extension}, e.path...)...) }
