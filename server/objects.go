package server

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"gatehouse/apiserver"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// objectKind is a kind of documents of an organisation, such as webhooks. A new kind is one more of objectKinds, and
// the handlers of its operations.
type objectKind struct {
	// name is the kind in the database and in the audit log.
	name string
	// create is the operation that creates an object of the kind. The schema of its body is that of the documents, with
	// a default for each member that a document gets if it lacks it.
	create string
	// replace is the operation that replaces the object if an organisation has one object of this kind; "" if it may have
	// several.
	replace string
	// id is the member that has the ID.
	id string
	// lists are members that are never null, because clients append to them.
	lists []string
	// check returns an error for a document that matches the contract but is refused; nil refuses none.
	check func(json.RawMessage) error
	// prepare sets what else of a draft depends on its document; nil sets nothing. stored is the object that the draft
	// replaces, and the zero value if it is new.
	prepare func(s *Server, draft *objectDraft, stored store.Object)
}

// objectDraft is an object that is to be stored.
type objectDraft struct {
	store.Object

	// members are the members of the document that the server sets.
	members map[string]json.RawMessage
}

// set sets a member of the document.
func (d *objectDraft) set(name, value string) { d.members[name] = jsondoc.Quote(value) }

// setTime sets a member of the document that is a time.
func (d *objectDraft) setTime(name string, at time.Time) {
	d.set(name, at.UTC().Format(time.RFC3339Nano))
}

// setTimeOnce sets a member that is a time unless the document has it: to that of the document that it replaces, or to
// the present.
func (d *objectDraft) setTimeOnce(name string, stored store.Object, now time.Time) {
	if jsondoc.String(d.Document, name) != "" {
		return
	}
	if before := jsondoc.String(stored.Document, name); before != "" {
		d.set(name, before)
		return
	}
	d.setTime(name, now)
}

// draft returns the object of a document under an ID. stored is the object that it replaces, and the zero value if the
// object is new. The document stays as it was sent, but for the members that the server sets, and those that it lacks.
func (s *Server) draft(kind objectKind, o, stored store.Object) store.Object {
	draft := objectDraft{Object: o, members: map[string]json.RawMessage{}}
	draft.Kind = kind.name
	if kind.replace != "" {
		draft.PublicID = kind.name
	}
	draft.set(kind.id, o.ID)
	draft.set("org_id", o.OrgID)
	if kind.prepare != nil {
		kind.prepare(s, &draft, stored)
	}
	for _, name := range kind.lists {
		if value, ok := jsondoc.Get(draft.Document, name); ok && string(value) == "null" {
			draft.Document = jsondoc.Without(draft.Document, name)
		}
	}
	draft.Document = complete(draft.Document, s.objectFields[kind.name], draft.members)
	return draft.Object
}

// complete returns a document with the members that it has to have, and those of fields that it lacks.
func complete(doc json.RawMessage, fields []jsondoc.Member, members map[string]json.RawMessage) json.RawMessage {
	completed := make([]jsondoc.Member, 0, len(fields))
	for _, field := range fields {
		if value, ok := members[field.Name]; ok {
			if current, _ := jsondoc.Get(doc, field.Name); string(current) != string(value) {
				doc = jsondoc.Without(doc, field.Name)
			}
			field = jsondoc.NewMember(field.Name, value)
		}
		completed = append(completed, field)
	}
	return jsondoc.Fill(doc, completed, completed[0].Value)
}

// errMergedTooLarge is returned for a document that would be larger than one that can be sent as a whole.
var errMergedTooLarge = apiserver.MalformedAt("", "is too large together with the members that are stored", nil)

// merged returns a document with the members of another one, except those that are null, in place of its own.
func merged(doc, changes json.RawMessage) json.RawMessage {
	isNull := func(m jsondoc.Member) bool { return string(m.Value) == "null" }
	return jsondoc.SetAll(doc, slices.DeleteFunc(jsondoc.Members(changes), isNull))
}

// newObject returns what an object in the body of a request is stored as: its ID, and the organisation that it belongs
// to. That is the caller's, whatever the document says; a super user's document has to name one.
func (s *Server) newObject(r *request) (store.Object, error) {
	caller, err := callerOf(r)
	if err != nil {
		return store.Object{}, err
	}
	o := store.Object{ID: s.store.NewObjectID(), OrgID: caller.user.OrgID, Document: r.Body.JSON}
	if caller.user.IsSuperUser() {
		o.OrgID = jsondoc.String(r.Body.JSON, "org_id")
	}
	if o.OrgID == "" {
		return o, noOrganisation(nil)
	}
	return o, nil
}

// noOrganisation is the error for a document of a super user that names no organisation that exists.
func noOrganisation(cause error) error {
	return apiserver.MalformedAt("/org_id", "must be the ID of an organisation, because the caller belongs to none", cause)
}

// createObject stores the body of a request as a new object.
func (s *Server) createObject(r *request, kind objectKind) (store.Object, error) {
	o, err := s.newObject(r)
	if err != nil {
		return o, err
	}
	return s.create(r, kind, o)
}

// create stores an object. If an organisation has one of the kind, and has it already, the members of the document are
// stored in place of its own.
func (s *Server) create(r *request, kind objectKind, o store.Object) (created store.Object, err error) {
	if kind.check != nil {
		if err := kind.check(o.Document); err != nil {
			return o, err
		}
	}
	created = s.draft(kind, o, store.Object{})
	if kind.replace == "" {
		err = s.store.CreateObject(r.Context(), created)
	} else {
		limit := int(r.MaxBody())
		created.ID, err = s.store.PutObject(r.Context(), created, func(stored store.Object) (store.Object, error) {
			sent := o.Document
			o := stored
			o.Document = merged(stored.Document, sent)
			if len(o.Document) > limit && len(o.Document) > len(stored.Document) {
				return o, errMergedTooLarge
			}
			return s.draft(kind, o, stored), nil
		})
	}
	if errors.Is(err, store.ErrUnknownOrganisation) {
		err = noOrganisation(err)
	}
	err = orOverQuota(err)
	if err == nil {
		r.made = created.ID
	}
	return created, err
}

// objectRef identifies an object for the caller of a request, who sees those of their organisation only.
type objectRef struct {
	kind objectKind
	// id is the ID or the public ID.
	id string
	// lookUp is what the object is found by in place of an ID, if it is not "".
	lookUp string
	// orgID is the organisation that a super user names; nil is any. That of other users counts.
	orgID *string
}

// of returns an object of the kind by the organisation that a super user has to name, because organisations may have
// the same one.
func (k objectKind) of(orgID *string) objectRef {
	named := valueOf(orgID)
	return objectRef{kind: k, orgID: &named}
}

// at returns the ID of an object of the kind.
func (k objectKind) at(id string) objectRef { return objectRef{kind: k, id: id} }

// refOf returns which object the caller of a request means.
func refOf(r *request, which objectRef) (store.ObjectRef, error) {
	caller, err := callerOf(r)
	if err != nil {
		return store.ObjectRef{}, err
	}
	ref := store.ObjectRef{Kind: which.kind.name, OrgID: caller.scope(), ID: which.id, LookUp: which.lookUp}
	if caller.user.IsSuperUser() {
		ref.OrgID = which.orgID
	}
	return ref, nil
}

// object returns an object, or store.ErrNotFound.
func (s *Server) object(r *request, which objectRef) (store.Object, error) {
	ref, err := refOf(r, which)
	if err != nil {
		return store.Object{}, err
	}
	return s.store.Object(r.Context(), ref)
}

// replaceObject replaces an object by the body of a request.
func (s *Server) replaceObject(r *request, which objectRef) (store.Object, error) {
	return s.replace(r, which, store.Object{Document: r.Body.JSON})
}

// replaceOnly replaces the only object of a kind that an organisation has by the body of a request. The organisation is
// that of newObject.
func (s *Server) replaceOnly(r *request, kind objectKind) (store.Object, error) {
	o, err := s.newObject(r)
	if err != nil {
		return o, err
	}
	ref := store.ObjectRef{Kind: kind.name, OrgID: &o.OrgID, ID: kind.name}
	return s.edit(r, kind, ref, o)
}

// replace replaces an object. Of what replaces it, document and hash of the password count; a hash that is "" keeps the
// current one.
func (s *Server) replace(r *request, which objectRef, by store.Object) (store.Object, error) {
	ref, err := refOf(r, which)
	if err != nil {
		return store.Object{}, err
	}
	return s.edit(r, which.kind, ref, by)
}

func (s *Server) edit(r *request, kind objectKind, ref store.ObjectRef, by store.Object) (store.Object, error) {
	if kind.check != nil {
		if err := kind.check(by.Document); err != nil {
			return by, err
		}
	}
	edited, err := s.store.EditObject(r.Context(), ref, func(stored store.Object) store.Object {
		o := stored
		o.Document = by.Document
		if by.PasswordHash != "" {
			o.PasswordHash = by.PasswordHash
		}
		return s.draft(kind, o, stored)
	})
	if err == nil {
		r.made = edited.ID
	}
	return edited, orOverQuota(err)
}

// deleteObject deletes an object, or returns store.ErrNotFound.
func (s *Server) deleteObject(r *request, which objectRef) error {
	ref, err := refOf(r, which)
	if err != nil {
		return err
	}
	return s.store.DeleteObject(r.Context(), ref)
}

// objectList returns a page of the objects of a filter, whose organisation is the caller's.
func (s *Server) objectList(r *request, filter store.ObjectFilter) (list[store.Row], error) {
	caller, err := callerOf(r)
	if err != nil {
		return list[store.Row]{}, err
	}
	ctx := r.Context()
	filter.OrgID = caller.scope()
	return list[store.Row]{
		name: "Data", pages: "Pages", page: filter.Page, encode: stored, rows: s.store.Objects(ctx, filter),
		count: func() (int, error) { return s.store.CountObjects(ctx, filter) },
	}, nil
}

// The functions below reply to the operations that all kinds have.

// replyCreated creates an object from the body of a request. The message of the reply is its ID.
func replyCreated[R any](s *Server, r *request, replies interface {
	OK(id string) R
	Malformed(cause error) R
	Failed(cause error) R
}, kind objectKind,
) R {
	created, err := s.createObject(r, kind)
	if err != nil {
		return apiserver.ReplyError(replies, err, malformed(replies))
	}
	return replies.OK(created.ID)
}

// documentReplies are the replies of an operation that returns a document.
type documentReplies[R any] interface {
	OK(body json.RawMessage) R
	NotFound(cause error) R
	Failed(cause error) R
}

// replyObject replies with an object.
func replyObject[R any](s *Server, r *request, replies documentReplies[R], which objectRef) R {
	o, err := s.object(r, which)
	if err != nil {
		return apiserver.ReplyError(replies, err, notFound(replies))
	}
	return replies.OK(o.Document)
}

// replacementReplies are the replies of an operation that replaces a document.
type replacementReplies[R any] interface {
	OK() R
	Malformed(cause error) R
	NotFound(cause error) R
	Failed(cause error) R
}

// replyReplaced replies to a request that has replaced an object, or failed to.
func replyReplaced[R any](replies replacementReplies[R], err error, expected ...apiserver.ErrorReply[R]) R {
	if err != nil {
		return apiserver.ReplyError(replies, err, append(expected, malformed(replies), notFound(replies))...)
	}
	return replies.OK()
}

// replyDeleted replies to a request that has deleted an object, or failed to.
func replyDeleted[R any](replies interface {
	OK() R
	NotFound(cause error) R
	Failed(cause error) R
}, err error,
) R {
	if err != nil {
		return apiserver.ReplyError(replies, err, notFound(replies))
	}
	return replies.OK()
}

// replyObjects replies with a page of objects.
func replyObjects[R apiserver.Replier](s *Server, r *request, replies listReplies[R], filter store.ObjectFilter) R {
	objects, err := s.objectList(r, filter)
	if err != nil {
		return replies.Failed(err)
	}
	return replyList(s, r, replies, objects)
}

// memberConflict names the member of a document that has the public ID, of which the store only knows the value, and
// what has it already, in the words of the contract.
func memberConflict(err error, member, owner string) error {
	if taken, ok := errors.AsType[*store.ConflictError](err); ok {
		taken.Member, taken.Owner = member, owner
	}
	return err
}
