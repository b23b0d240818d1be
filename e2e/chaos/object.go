package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// errUnreadable is returned if a server failed to return an object. The check is repeated.
var errUnreadable = errors.New("cannot be read")

// object is an object that a worker has written, with the states that it may have.
type object struct {
	kind   *kind
	target target
	// possible are the states that the object may have: one, until a write fails. The object is not written again after
	// that, because a request that failed may take effect later.
	possible []string
}

// certain reports whether the object has one possible state.
func (o *object) certain() bool { return len(o.possible) == 1 }

// exists reports whether the object certainly exists.
func (o *object) exists() bool { return o.certain() && o.possible[0] != "" }

// apply sends a write and records the resulting state. It reports whether that is known, and can be checked.
func (o *object) apply(ctx context.Context, c *caller, s step, marker string) bool {
	o.target.marker = marker
	a := c.do(ctx, s.call, o.target)
	state := s.sets
	switch {
	case s.readBack:
		return o.readBack(ctx, c, a)
	case o.kind.remove != nil && s.sets == removed:
		state = ""
	case state == "":
		state = marker
	}
	switch a.verdict {
	case acknowledged:
		o.possible = []string{state}
	case uncertain:
		o.possible = append(o.possible, state)
	default:
		c.report.failf("%s\n\texpected success: %s %s was %q, by an acknowledged write", a.text, o.kind.name, o.target.id,
			o.possible)
		return false
	}
	return true
}

// removed is the value of step.sets for a step that removes its object.
const removed = "removed"

// readBack reads the state that the server chose for a write.
func (o *object) readBack(ctx context.Context, c *caller, a answer) bool {
	if a.verdict != acknowledged {
		return false
	}
	if o.target.id == "" {
		o.target.id = o.kind.idOf(ctx, c, a, o.target)
	}
	state, known := o.read(ctx, c)
	if known && slices.Contains(o.possible, state) {
		c.report.failf("%s\n\texpected another state than before of %s %s", a.text, o.kind.name, o.target.id)
		return false
	}
	o.possible = []string{state}
	return known
}

// read returns the state of the object, unless the server fails.
func (o *object) read(ctx context.Context, c *caller) (state string, known bool) {
	a := c.do(ctx, o.kind.read, o.target)
	switch a.verdict {
	case acknowledged:
		if o.kind.state != nil {
			return o.kind.state(a.body), true
		}
		return markerState(a.body), true
	case absent:
		return "", true
	case refused:
		return "refused: " + a.text, true
	case uncertain:
	}
	return a.text, false
}

// idOf returns the ID of an object that was created, or "" if the request failed that returns it.
func (k *kind) idOf(ctx context.Context, c *caller, created answer, t target) string {
	switch {
	case k.digits > 0:
		return t.id
	case k.single:
		return t.org
	case k.find != nil:
		return findID(c.do(ctx, k.find, t).body, t.marker)
	case k.id != nil:
		return k.id(created.body)
	}
	return createdID(created.body)
}

// findID returns the ID of the element of a list that has the marker.
func findID(list []byte, marker string) string {
	var reply map[string]json.RawMessage
	_ = json.Unmarshal(list, &reply) // a failed request has no list
	for _, value := range reply {
		var elements []json.RawMessage
		_ = json.Unmarshal(value, &elements)
		for _, element := range elements {
			if strings.Contains(string(element), `"`+marker+`"`) {
				return member("id")(element)
			}
		}
	}
	return ""
}
