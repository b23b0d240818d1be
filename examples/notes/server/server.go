// Package server serves the contract of the notes, openapi/notes.yaml.
package server

import (
	"errors"
	"gatehouse/apiserver"
	"gatehouse/contract"
	"log/slog"

	"example.com/notes/api"
	"example.com/notes/store"
)

// Config configures a server. All fields are required.
type Config struct {
	Store          *store.Store
	Limits         apiserver.Limits
	CheckResponses apiserver.ResponseCheck
	Log            *slog.Logger
}

// handlers has a handler for each operation of the contract.
type handlers struct{ store *store.Store }

var _ api.Handlers[*request] = handlers{} // the compiler names those that are missing

// request is a request with the ID of the owner who sent it.
type request struct {
	apiserver.Request

	owner string
}

// New returns a server.
func New(cfg Config) (*apiserver.Server, error) {
	document, err := api.GetSpecJSON()
	if err != nil {
		return nil, err
	}
	loaded, err := contract.Load(apiserver.Rules("owner_key"), document)
	if err != nil {
		return nil, err
	}
	return apiserver.New(apiserver.Config[*request]{
		Contract: loaded,
		Schemes:  map[string]func(*request) error{"owner_key": handlers{cfg.Store}.authenticate},
		Routes: func(routes *apiserver.Routes) {
			api.RegisterHandlersWithOptions(routes.Echo,
				api.Serve(handlers{cfg.Store}, apiserver.RequestOf[*request], routes.Send),
				api.RegisterHandlersOptions{OperationMiddlewares: routes.Middlewares})
		},
		Limits: cfg.Limits, CheckResponses: cfg.CheckResponses, Log: cfg.Log,
	})
}

// authenticate finds the owner by the access key.
func (h handlers) authenticate(r *request) (err error) {
	r.owner, err = h.store.OwnerOf(r.Context(), r.Header("Access-Key"))
	if errors.Is(err, store.ErrNotFound) {
		return apiserver.ErrUnauthorised
	}
	return err
}

func (h handlers) ListNotes(r *request, params api.ListNotesParams) api.ListNotesReply {
	return apiserver.ReplyList(r, api.ListNotesReplies{}, apiserver.List[api.Note]{
		Name: "notes", Rows: apiserver.Rows(h.store.Notes(r.Context(), r.owner, params)),
		CountName: "total", Count: func() (int, error) { return h.store.CountNotes(r.Context(), r.owner, params) },
	})
}

func (h handlers) CreateNote(r *request) api.CreateNoteReply {
	var reply api.CreateNoteReplies
	var stored api.Note
	note, err := apiserver.Decode[api.NewNote](r)
	if err == nil {
		stored, err = h.store.CreateNote(r.Context(), r.owner, note)
	}
	return apiserver.ReplyResult(reply, stored, err, apiserver.OnMalformed(reply),
		apiserver.On(reply.UnknownTag, store.ErrUnknownTag), apiserver.On(reply.Unauthorised, store.ErrNotFound))
}

// UploadNotes stores the notes when all have arrived and are valid.
func (h handlers) UploadNotes(r *request) api.UploadNotesReply {
	const maxUpload = 100 // as in the contract
	var reply api.UploadNotesReplies
	notes, err := apiserver.AllElements[api.NewNote](r, maxUpload)
	if err == nil {
		err = h.store.CreateNotes(r.Context(), r.owner, notes)
	}
	return apiserver.ReplyResult(reply, api.Uploaded{Uploaded: len(notes)}, err, append(apiserver.OnBody(reply),
		apiserver.On(reply.TooMany, apiserver.ErrTooManyElements),
		apiserver.On(reply.UnknownTag, store.ErrUnknownTag), apiserver.On(reply.Unauthorised, store.ErrNotFound))...)
}

func (h handlers) GetNote(r *request, noteID string) api.GetNoteReply {
	var reply api.GetNoteReplies
	note, err := h.store.Note(r.Context(), r.owner, noteID)
	return apiserver.ReplyResult(reply, note, err, apiserver.On(reply.NotFound, store.ErrNotFound))
}

func (h handlers) ReplaceNote(r *request, noteID string) api.ReplaceNoteReply {
	var reply api.ReplaceNoteReplies
	var stored api.Note
	note, err := apiserver.Decode[api.NewNote](r)
	if err == nil {
		stored, err = h.store.ReplaceNote(r.Context(), r.owner, noteID, note)
	}
	return apiserver.ReplyResult(reply, stored, err, apiserver.OnMalformed(reply),
		apiserver.On(reply.UnknownTag, store.ErrUnknownTag), apiserver.On(reply.NotFound, store.ErrNotFound))
}

func (h handlers) DeleteNote(r *request, noteID string) api.DeleteNoteReply {
	var reply api.DeleteNoteReplies
	err := h.store.DeleteNote(r.Context(), r.owner, noteID)
	return apiserver.ReplyDone(reply, err, apiserver.On(reply.NotFound, store.ErrNotFound))
}

func (h handlers) ListTags(r *request) api.ListTagsReply {
	list := apiserver.List[api.Tag]{Name: "tags", Rows: apiserver.Rows(h.store.Tags(r.Context(), r.owner))}
	return apiserver.ReplyList(r, api.ListTagsReplies{}, list)
}

func (h handlers) CreateTag(r *request) api.CreateTagReply {
	var reply api.CreateTagReplies
	var stored api.Tag
	tag, err := apiserver.Decode[api.NewTag](r)
	if err == nil {
		stored, err = h.store.CreateTag(r.Context(), r.owner, tag.Name)
	}
	taken := func(cause error) api.CreateTagReply { return reply.Taken(tag.Name, cause) }
	return apiserver.ReplyResult(reply, stored, err, apiserver.OnMalformed(reply), apiserver.On(taken, store.ErrTaken))
}

func (h handlers) DeleteTag(r *request, tagID string) api.DeleteTagReply {
	var reply api.DeleteTagReplies
	err := h.store.DeleteTag(r.Context(), r.owner, tagID)
	return apiserver.ReplyDone(reply, err, apiserver.On(reply.NotFound, store.ErrNotFound))
}

func (h handlers) CreateOwner(r *request) api.CreateOwnerReply {
	var reply api.CreateOwnerReplies
	var stored api.Owner
	owner, err := apiserver.Decode[api.NewOwner](r)
	if err == nil {
		stored, err = h.store.CreateOwner(r.Context(), owner.Name)
	}
	return apiserver.ReplyResult(reply, stored, err, apiserver.OnMalformed(reply))
}

func (h handlers) DeleteOwner(r *request) api.DeleteOwnerReply {
	return apiserver.ReplyDone(api.DeleteOwnerReplies{}, h.store.DeleteOwner(r.Context(), r.owner))
}
