package desired

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/remote"
)

// NewUser is a user that was created, with the access key that the server has generated.
type NewUser struct {
	Organisation string `json:"org_id"`
	EmailAddress string `json:"email_address"`
	ID           string `json:"id"`
	AccessKey    string `json:"access_key"`
}

// ApplyOptions are the functions that Plan.Apply calls.
type ApplyOptions struct {
	// Failed is called for each change that the server refuses.
	Failed func(*Change, error)
	// Created is called for each user that was created. An error ends Apply.
	Created func(NewUser) error
}

// applier applies changes to a server.
type applier struct {
	server *remote.Server
	opts   ApplyOptions
	// failures counts the changes that the server has refused.
	failures int
}

// failed reports a change that the server refuses.
func (a *applier) failed(change *Change, cause error) {
	a.failures++
	a.opts.Failed(change, cause)
}

// errNotDeleted is the error of a deletion that is skipped because the server has refused another change: the refused
// object may have been meant to replace the deleted one.
var errNotDeleted = errors.New("not deleted, because the server has refused other changes")

// Apply changes the server: first it creates and updates objects, each kind before those that refer to it, and then it
// deletes in the opposite order. A change that the server refuses is reported, and the others are applied, but nothing
// is deleted. The error is one that ended Apply.
func (p *Plan) Apply(ctx context.Context, server *remote.Server, opts ApplyOptions) error {
	a := applier{server: server, opts: opts}
	kinds := remote.Kinds()
	for _, kind := range kinds {
		if err := a.save(ctx, kind, p.of(kind, Create, Update)); err != nil {
			return err
		}
	}
	refused := a.failures > 0
	slices.Reverse(kinds)
	for _, kind := range kinds {
		for _, change := range p.of(kind, Delete) {
			if refused {
				opts.Failed(change, errNotDeleted)
				continue
			}
			if err := a.report(change, a.delete(ctx, change)); err != nil {
				return err
			}
		}
	}
	return nil
}

// of returns the changes of a kind with some of the actions.
func (p *Plan) of(kind remote.Kind, actions ...string) (found []*Change) {
	for _, change := range p.Changes {
		if change.kind == kind && slices.Contains(actions, change.Action) {
			found = append(found, change)
		}
	}
	return found
}

// report reports an error that is about one object, and returns any other.
func (a *applier) report(change *Change, err error) error {
	switch {
	case err == nil:
		return nil
	case remote.IsFatal(err):
		return fmt.Errorf("%s %s %s: %w", change.Action, change.Kind, change.ID, err)
	}
	a.failed(change, err)
	return nil
}

// save creates and updates objects of a kind.
func (a *applier) save(ctx context.Context, kind remote.Kind, changes []*Change) error {
	if kind == remote.API || kind == remote.Policy {
		return a.importAll(ctx, kind, changes)
	}
	for _, change := range changes {
		var err error
		switch kind {
		case remote.Organisation:
			err = a.server.SaveOrganisation(ctx, change.ID, change.doc.JSON, change.Action == Update)
		case remote.User:
			err = a.user(ctx, change)
		default:
			session, _ := jsondoc.Get(change.doc.JSON, "data") // Checks require it
			err = a.server.SaveKey(ctx, jsondoc.Set(session, "org_id", jsondoc.Quote(change.Organisation)))
		}
		if err := a.report(change, err); err != nil {
			return err
		}
	}
	return nil
}

// importAll imports APIs or policies. The import replaces those that exist, so that gateways have them at all times.
func (a *applier) importAll(ctx context.Context, kind remote.Kind, changes []*Change) error {
	byID := map[string]*Change{}
	imported := a.server.Import(kind, func(doc json.RawMessage, cause error) {
		a.failed(byID[remote.IDOf(kind, doc)], cause)
	})
	for _, change := range changes {
		doc := withStoredID(kind, change.doc.JSON, change.stored)
		byID[remote.IDOf(kind, doc)] = change
		if err := imported.Add(ctx, doc); err != nil {
			return err
		}
	}
	return imported.Flush(ctx)
}

// withStoredID returns a document with the database ID of the stored one, unless the file sets an ID: the server would
// generate another one for an import without it.
func withStoredID(kind remote.Kind, doc, stored json.RawMessage) json.RawMessage {
	if stored == nil {
		return doc
	}
	if kind == remote.Policy {
		if id, ok := jsondoc.Get(stored, "_id"); ok && isMissing(doc, "_id") {
			return jsondoc.Set(doc, "_id", id)
		}
		return doc
	}
	id, ok := jsondoc.Get(stored, "api_definition", "id")
	if !ok || !isMissing(doc, "api_definition", "id") {
		return doc
	}
	definition, _ := jsondoc.Get(doc, "api_definition")
	return jsondoc.Set(doc, "api_definition", jsondoc.Set(definition, "id", id))
}

// isMissing reports whether a document has no value, or an empty one, at a path.
func isMissing(doc json.RawMessage, path ...string) bool {
	value, ok := jsondoc.Get(doc, path...)
	return !ok || string(value) == `""` || string(value) == "null"
}

// user creates or updates a user.
func (a *applier) user(ctx context.Context, change *Change) error {
	wanted := change.doc.JSON
	if change.Action == Update {
		return a.server.UpdateUser(ctx, jsondoc.String(change.stored, "id"), userRequest(wanted, change.stored))
	}
	created, err := a.server.CreateUser(ctx, userRequest(wanted, nil))
	if err != nil {
		return err
	}
	if key := jsondoc.String(wanted, accessKey); key != "" {
		return a.server.UpdateUser(ctx, created.ID, settable(wanted))
	}
	return a.opts.Created(NewUser{change.Organisation, change.ID, created.ID, created.AccessKey})
}

// delete deletes an object that the files do not have.
func (a *applier) delete(ctx context.Context, change *Change) error {
	id := change.ID
	if change.kind == remote.User {
		id = jsondoc.String(change.stored, "id")
	}
	return a.server.Delete(ctx, change.kind, id)
}
