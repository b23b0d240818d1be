// Package importer reads the documents of an import from a request body, in the memory of two batches: it reads
// documents, checks them, hands them over as rows to store, and records the result.
package importer

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"

	"gatehouse/internal/apidef"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonlist"
)

// Import reads one body.
type Import struct {
	// Body is a JSON object.
	Body io.Reader
	// List is the name of the member that lists the documents, which the client may write in any case.
	List string
	// MaxDocument is the maximum size of a document in bytes.
	MaxDocument int
	// OnLarge, if it is not nil, is called once, before a document takes more memory than most (jsonlist.Reader).
	OnLarge func() error
	// Check checks each document.
	Check *apidef.Check
	// ValidateEnvelope validates the body after its documents, with an empty list in their place.
	ValidateEnvelope func(json.RawMessage) error

	// Result is complete when the documents have been read.
	Result Result
}

// Rows yields a row for each valid document, and records the others in the result. A row need be usable only until the
// next one is yielded. toRow returns the row and the ID of a document.
//
// An error is the last that is yielded: a *MalformedError, jsonlist.ErrEmpty, jsonlist.ErrTooLarge, or one of Body's or
// ValidateEnvelope's.
func Rows[T any](imp *Import, toRow func(apidef.Document) (T, string)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for doc, err := range imp.documents() {
			var row T
			switch {
			case err != nil:
			case doc.problems != nil:
				err = imp.reject(doc)
			default:
				var id string
				row, id = toRow(doc.Document)
				err = imp.accept(id)
			}
			if err != nil {
				yield(row, err)
				return
			}
			if doc.problems == nil && !yield(row, nil) {
				return
			}
		}
	}
}

// documents yields the documents of the body, checked, and validates the envelope after them. An error is the last.
// While one batch is checked, the next is read.
func (imp *Import) documents() iter.Seq2[importedDocument, error] {
	return func(yield func(importedDocument, error) bool) {
		imp.Result.list = imp.List
		reader := jsonlist.NewReader(imp.Body, imp.List, imp.MaxDocument)
		reader.OnLarge = imp.OnLarge
		current, following := new(batch), new(batch)
		for current.fill(reader); ; current, following = following, current {
			var checking sync.WaitGroup
			checking.Go(func() { current.check(imp.Check) })
			if current.end == nil {
				following.fill(reader)
			}
			checking.Wait()
			for _, doc := range current.checked() {
				if doc.err != nil {
					yield(doc, doc.err)
					return
				}
				if !yield(doc, nil) {
					return
				}
			}
			if err := current.end; err != nil {
				if err == io.EOF { //nolint:errorlint // the end of the list; an error of Body may wrap io.EOF
					err = imp.validateEnvelope(reader.Rest())
				}
				if err != nil {
					yield(importedDocument{}, describe(err))
				}
				return
			}
		}
	}
}

func (imp *Import) validateEnvelope(rest []byte) error {
	envelope, err := jsondoc.Compact(rest)
	if syntax, ok := errors.AsType[*jsondoc.SyntaxError](err); ok { // its place is not one of the body
		return notJSON(syntax.Reason+": beside "+imp.List, err)
	}
	if err := imp.ValidateEnvelope(envelope); err != nil {
		return err
	}
	return imp.requireList(envelope)
}

// requireList returns an error if the body has no list of documents. It may be empty or null, as Go encodes an empty
// list, but a body without it was meant for something else: it would import nothing, and the client would not notice.
func (imp *Import) requireList(envelope json.RawMessage) error {
	for _, m := range jsondoc.Members(envelope) {
		if !strings.EqualFold(m.Name, imp.List) {
			continue
		}
		if text := string(m.Value); text != "[]" && text != "null" {
			return malformed("/"+imp.List, "value must be an array")
		}
		return nil
	}
	return malformed("/"+imp.List, "is missing")
}

// describe returns the error for a body that is not JSON around its documents.
func describe(err error) error {
	if errors.Is(err, jsonlist.ErrSyntax) {
		return notJSON(err.Error(), err)
	}
	return err
}

// accept records the ID of a valid document.
func (imp *Import) accept(id string) error {
	imp.Result.valid++
	return imp.record(id)
}

// reject records why a document is not valid. One without an ID is identified by its place in the body.
func (imp *Import) reject(doc importedDocument) error {
	r, place := &imp.Result, imp.place()
	for _, p := range doc.problems {
		if len(r.problems) < maxProblems {
			r.problems = append(r.problems, apidef.Problem{Path: place + p.Path, Reason: p.Reason})
		}
	}
	id := doc.ID()
	if id == "" {
		id = place
	}
	r.Refuse(id, Reasons(doc.problems))
	return imp.record(id)
}

// record fails if an earlier document has the same ID: it is not clear which of the two is meant.
func (imp *Import) record(id string) error {
	if !imp.Result.ids.add(id) {
		return malformed(imp.place(), "has the id of one before it")
	}
	imp.Result.read++
	return nil
}

// place is the JSON pointer to the document that was read last.
func (imp *Import) place() string { return imp.Result.place(imp.Result.read) }
