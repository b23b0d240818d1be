package desired

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/remote"
)

// The actions of a Change.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Change is the change of one object.
type Change struct {
	Action       string `json:"action"`
	Kind         string `json:"kind"`
	Organisation string `json:"organisation"`
	ID           string `json:"id"`
	// Place is the place of the document, as file:line:column; "" for a deletion.
	Place string `json:"place,omitempty"`
	// Differences are the differences between the documents of an update.
	Differences []Difference `json:"differences,omitempty"`

	kind   remote.Kind
	doc    *Document       // nil for a deletion
	stored json.RawMessage // nil for a creation
}

// Plan contains the changes after which a server has the desired state.
type Plan struct {
	Changes []*Change `json:"changes"`
	// Unchanged counts the documents that do not differ from those of the server.
	Unchanged int `json:"unchanged"`
	// NotInFiles counts the objects of the server that are not in the files, for the organisations and kinds that are.
	// They are not deleted.
	NotInFiles int `json:"not_in_files"`
}

// Count returns how many changes have an action.
func (p *Plan) Count(action string) (n int) {
	for _, change := range p.Changes {
		if change.Action == action {
			n++
		}
	}
	return n
}

// Options configure NewPlan.
type Options struct {
	// Prune has the kinds whose objects are deleted if they are not in the files, although the document of their
	// organisation is.
	Prune map[remote.Kind]bool
}

// Prunable returns the kinds that Options.Prune may have. Organisations are never deleted.
func Prunable() []remote.Kind {
	return []remote.Kind{remote.User, remote.API, remote.Policy, remote.Key}
}

// planner compares documents with a server.
type planner struct {
	server *remote.Server
	opts   Options
	plan   *Plan
	keys   map[string]bool // the organisations that have a key; nil until it is needed
	faults FaultsError
}

// NewPlan compares documents with those of a server. The error is a *FaultsError for a document whose organisation
// is neither in the files nor on the server.
func NewPlan(ctx context.Context, server *remote.Server, documents []*Document, opts Options) (*Plan, error) {
	p := &planner{server: server, opts: opts, plan: &Plan{Changes: []*Change{}}}
	wanted := map[string]map[remote.Kind][]*Document{}
	var organisations []string
	for _, doc := range documents {
		if wanted[doc.Organisation] == nil {
			wanted[doc.Organisation] = map[remote.Kind][]*Document{}
			organisations = append(organisations, doc.Organisation)
		}
		wanted[doc.Organisation][doc.Kind] = append(wanted[doc.Organisation][doc.Kind], doc)
	}
	for _, id := range organisations {
		if err := p.organisation(ctx, id, wanted[id]); err != nil {
			return nil, err
		}
	}
	return p.plan, p.faults.orNil()
}

// organisation compares an organisation and its objects; "" is the organisation of super users.
func (p *planner) organisation(ctx context.Context, id string, wanted map[remote.Kind][]*Document) error {
	own := wanted[remote.Organisation]
	exists := true
	if id != "" {
		stored, err := p.server.Organisation(ctx, id)
		exists = err == nil
		if err != nil && !errors.Is(err, remote.ErrNotFound) {
			return err
		}
		for _, doc := range own {
			p.document(doc, stored)
		}
	}
	for _, kind := range Prunable() {
		l := listed{kind, id, wanted[kind], p.opts.Prune[kind] && len(own) > 0}
		var err error
		switch {
		case !exists:
			p.new(l, len(own) > 0)
		case len(l.wanted) == 0 && !l.prune:
		case kind == remote.Key:
			err = p.key(ctx, l)
		default:
			err = p.list(ctx, l)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// new plans the creation of documents whose organisation the server does not have. They are faults unless the
// organisation is in the files.
func (p *planner) new(l listed, inFiles bool) {
	for _, doc := range l.wanted {
		if !inFiles {
			p.faults.addf(doc.place(""), "the %s %q is of organisation %q, which neither the files nor the server have",
				doc.Kind, doc.ID, l.organisation)
			continue
		}
		p.document(doc, nil)
	}
}

// document plans the change of an object. stored is nil if the server does not have it.
func (p *planner) document(doc *Document, stored json.RawMessage) {
	change := &Change{
		Action: Create, Kind: string(doc.Kind), Organisation: doc.Organisation, ID: doc.ID, Place: doc.place("").String(),
		kind: doc.Kind, doc: doc, stored: stored,
	}
	if stored != nil {
		change.Action, change.Differences = Update, differences(doc.Kind, doc.JSON, stored)
		if len(change.Differences) == 0 {
			p.plan.Unchanged++
			return
		}
	}
	p.plan.Changes = append(p.plan.Changes, change)
}

// surplus plans the deletion of an object that is not in the files, or counts it.
func (p *planner) surplus(kind remote.Kind, organisation string, stored json.RawMessage, prune bool) {
	if !prune {
		p.plan.NotInFiles++
		return
	}
	p.plan.Changes = append(p.plan.Changes, &Change{
		Action: Delete, Kind: string(kind), Organisation: organisation, ID: remote.IDOf(kind, stored),
		kind: kind, stored: stored,
	})
}

// listed are the desired documents of one kind and one organisation.
type listed struct {
	kind         remote.Kind
	organisation string
	wanted       []*Document
	prune        bool
}

// list compares the users, the APIs or the policies of an organisation.
func (p *planner) list(ctx context.Context, l listed) (err error) {
	list, err := p.server.Documents(ctx, l.kind, l.organisation)
	if err != nil {
		return fmt.Errorf("list the %s of organisation %q: %w", l.kind.Plural(), l.organisation, err)
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	byKey := map[string]*Document{}
	for _, doc := range l.wanted {
		byKey[findKey(l.kind, doc.JSON)] = doc
	}
	found := map[*Document]bool{}
	for stored, err := range list.All() {
		if err != nil {
			return err
		}
		doc := byKey[findKey(l.kind, stored)]
		if doc == nil && l.kind == remote.Policy { // a file may have its explicit ID only
			doc = byKey[explicitKey(stored)]
		}
		if doc == nil {
			p.surplus(l.kind, l.organisation, stored, l.prune)
			continue
		}
		found[doc] = true
		p.document(doc, stored)
	}
	for _, doc := range l.wanted {
		if !found[doc] {
			p.document(doc, nil)
		}
	}
	return nil
}

// findKey returns the key that a stored object and its desired document have in common.
func findKey(kind remote.Kind, doc json.RawMessage) string {
	if kind == remote.Policy && jsondoc.String(doc, "_id") == "" && jsondoc.String(doc, "_id", "$oid") == "" {
		return explicitKey(doc)
	}
	return "id " + remote.IDOf(kind, doc)
}

// explicitKey returns findKey for a policy that has only the explicit ID.
func explicitKey(policy json.RawMessage) string {
	return "explicit " + strings.ToLower(jsondoc.String(policy, "id"))
}

// key compares the key of an organisation.
func (p *planner) key(ctx context.Context, l listed) error {
	if p.keys == nil {
		var err error
		if p.keys, err = p.server.KeyIDs(ctx); err != nil {
			return fmt.Errorf("list the organisation keys: %w", err)
		}
	}
	var stored json.RawMessage
	if p.keys[l.organisation] {
		var err error
		if stored, err = p.server.Key(ctx, l.organisation); err != nil && !errors.Is(err, remote.ErrNotFound) {
			return err
		}
	}
	for _, doc := range l.wanted {
		p.document(doc, stored)
	}
	if len(l.wanted) == 0 && stored != nil {
		p.surplus(remote.Key, l.organisation, jsondoc.Object([]jsondoc.Member{
			jsondoc.NewMember("key_id", jsondoc.Quote(l.organisation)), jsondoc.NewMember("data", stored),
		}), l.prune)
	}
	return nil
}
