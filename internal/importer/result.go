package importer

import (
	"fmt"
	"iter"
	"strconv"

	"gatehouse/internal/apidef"
)

const (
	// maxProblems bounds how many problems of an import are listed when no document is valid.
	maxProblems = 20
	// maxReasons bounds how many refusals Message explains. All lists all of them.
	maxReasons = 10
)

// Result records what becomes of the documents of an import, in their order.
type Result struct {
	list    string // the name of the list
	ids     idList
	refused map[string]string // the reason by ID

	read     int              // documents
	valid    int              // documents that match the contract
	problems []apidef.Problem // of the others, with paths in the body
}

// Refuse records that a valid document was not imported.
func (r *Result) Refuse(id, reason string) {
	if r.refused == nil {
		r.refused = map[string]string{}
	}
	r.refused[id] = reason
}

// Err returns a *MalformedError if the import has documents, and none of them is valid.
func (r *Result) Err() error {
	if r.valid == 0 && r.read > 0 {
		return &MalformedError{problems: r.problems[:min(len(r.problems), maxProblems)]}
	}
	return nil
}

// NoneImported returns a *NoneImportedError if the import has documents, and all of them were refused. A document that
// is stored already was not refused.
func (r *Result) NoneImported() error {
	if r.read == 0 || len(r.refused) < r.ids.len() {
		return nil
	}
	err, n := &NoneImportedError{}, 0
	for id := range r.ids.all() {
		if n == maxProblems {
			break
		}
		err.problems = append(err.problems, apidef.Problem{Path: r.place(n), Reason: r.refused[id]})
		n++
	}
	return err
}

// place is the JSON pointer to a document in the body.
func (r *Result) place(document int) string { return "/" + r.list + "/" + strconv.Itoa(document) }

// All returns the IDs of all documents, and whether each was imported or existed already.
func (r *Result) All() iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for id := range r.ids.all() {
			_, refused := r.refused[id]
			if !yield(id, !refused) {
				return
			}
		}
	}
}

// Count returns how many documents were imported, or existed already, and how many were refused.
func (r *Result) Count() (imported, refused int) { return r.ids.len() - len(r.refused), len(r.refused) }

// Refusals describes how many of the documents, called kind, were imported and why the others were not. It returns ""
// if all were imported.
func (r *Result) Refusals(kind string) string {
	if len(r.refused) == 0 {
		return ""
	}
	message := fmt.Sprintf("%d of %d %s imported", r.ids.len()-len(r.refused), r.ids.len(), kind)
	explained := 0
	for id := range r.ids.all() {
		reason, refused := r.refused[id]
		if !refused {
			continue
		}
		if explained++; explained > maxReasons {
			return message + fmt.Sprintf("; and %d more", len(r.refused)-maxReasons)
		}
		message += "; " + id + ": " + reason
	}
	return message
}
