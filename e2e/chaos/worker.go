package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
)

// maxObjects is the maximum number of objects of a kind that a worker has at a time.
const maxObjects = 6

// worker is a client that writes objects of its own organisation, one request at a time.
type worker struct {
	round, number int
	random        *rand.Rand
	report        *report
	kinds         []kind
	org           string
	callers       []*caller // one for each server
	written       int       // the number of markers and IDs, which makes each unique
	acknowledged  int       // the number of acknowledged writes

	callerOf func(server, key string) (*caller, error) // returns a caller with the access key of another user

	objects []*object
	bulks   []*bulk
	nonces  *nonces
	logins  []*login
}

// newMarker returns a marker that no other write has.
func (w *worker) newMarker() string {
	w.written++
	return fmt.Sprintf("mark-%d-%d-%d", w.round, w.number, w.written)
}

// newID returns an ID that no other object has.
func (w *worker) newID(digits int) string {
	w.written++
	return fmt.Sprintf("%0*x", digits, uint64(w.round)<<40|uint64(w.number)<<32|uint64(w.written))
}

func (w *worker) caller() *caller { return w.callers[w.random.IntN(len(w.callers))] }

// organise creates an organisation and its administrator, and returns the administrator's access key. It is called
// while nothing is disturbed.
func organise(ctx context.Context, c *caller, marker string) (org, key string, err error) {
	create := withBody((*api).CreateOrgWithBodyWithResponse, `{"owner_name":"chaos","sso_enabled":true}`)
	created := c.do(ctx, create, target{})
	if created.verdict != acknowledged {
		return "", "", errors.New(created.text)
	}
	org = createdID(created.body)
	admin := c.do(ctx, withBody((*api).CreateUserWithBodyWithResponse, `{`+user+`}`), target{org: org, marker: marker})
	if admin.verdict != acknowledged {
		return "", "", errors.New(admin.text)
	}
	return org, member("Message")(admin.body), nil
}

// write creates, changes or removes an object of a kind.
func (w *worker) write(ctx context.Context, k *kind) {
	var existing []*object
	for _, each := range w.objects {
		if each.kind == k && each.exists() {
			existing = append(existing, each)
		}
	}
	if single := w.single(k); single != nil {
		w.writeSingle(ctx, single)
		return
	}
	if len(existing) == 0 || len(existing) < maxObjects && w.random.IntN(3) == 0 {
		w.create(ctx, k)
		return
	}
	w.change(ctx, existing[w.random.IntN(len(existing))])
}

// single returns the object of a kind that an organisation has one of, or nil.
func (w *worker) single(k *kind) *object {
	for _, each := range w.objects {
		if k.single && each.kind == k {
			return each
		}
	}
	return nil
}

func (w *worker) writeSingle(ctx context.Context, o *object) {
	switch {
	case !o.certain(): // see object.possible
	case o.exists():
		w.change(ctx, o)
	default:
		w.apply(ctx, o, o.kind.create)
	}
}

func (w *worker) create(ctx context.Context, k *kind) {
	o := &object{kind: k, target: target{org: w.org}, possible: []string{""}}
	if k.digits > 0 {
		o.target.id = w.newID(k.digits)
	}
	c, marker := w.caller(), w.newMarker()
	if k.create.readBack {
		if o.apply(ctx, c, k.create, marker) {
			w.objects, w.acknowledged = append(w.objects, o), w.acknowledged+1
		}
		return
	}
	o.target.marker = marker
	a := c.do(ctx, k.create.call, o.target)
	switch a.verdict {
	case acknowledged:
		w.acknowledged++
		o.possible = []string{orMarker(k.create.sets, marker)}
		if o.target.id = k.idOf(ctx, c, a, o.target); o.target.id == "" {
			return // the ID is unknown: the request failed that lists the objects
		}
	case uncertain:
		if o.target.id == "" && !k.single {
			return // the ID is unknown: there is no response that has it
		}
		o.possible = append(o.possible, orMarker(k.create.sets, marker))
	default:
		w.report.failf("%s\n\texpected success: nothing else has the values of this %s", a.text, k.name)
		return
	}
	w.objects = append(w.objects, o)
}

func orMarker(sets, marker string) string {
	if sets == "" {
		return marker
	}
	return sets
}

// change changes or removes an object.
func (w *worker) change(ctx context.Context, o *object) {
	if n := len(o.kind.changes); n > 0 && (o.kind.remove == nil || w.random.IntN(4) > 0) {
		w.apply(ctx, o, o.kind.changes[w.random.IntN(n)])
		return
	}
	if o.kind.remove != nil {
		w.apply(ctx, o, step{call: o.kind.remove.call, sets: removed})
	}
}

func (w *worker) apply(ctx context.Context, o *object, s step) {
	if !o.apply(ctx, w.caller(), s, w.newMarker()) {
		w.forget(o)
		return
	}
	if o.certain() {
		w.acknowledged++
	}
}

// forget removes an object whose state is unknown, so that it is not checked.
func (w *worker) forget(o *object) {
	for i, each := range w.objects {
		if each == o {
			w.objects = append(w.objects[:i], w.objects[i+1:]...)
			return
		}
	}
}

// leave deletes the organisation of the worker, with everything in it.
func (w *worker) leave(ctx context.Context) {
	c := w.caller()
	if a := c.do(ctx, withID((*api).DeleteOrgWithResponse), target{id: w.org}); a.verdict != acknowledged {
		w.report.failf("%s\n\texpected an organisation to be deleted", a.text)
	}
	for _, o := range w.objects {
		if o.kind.name == "organisation" || o.kind.name == "imported organisation" {
			c.do(ctx, o.kind.remove.call, o.target) // one that may not exist is not an error
		}
	}
}
