// Package importer reads the documents of an import from a request body, in the memory of one document: it reads a
// document, checks it, hands it over as a row to store, and records the result.
package importer

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strconv"

	"gatehouse/internal/apidef"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonlist"
	"gatehouse/internal/jsonschema"
)

// Import reads one body.
type Import struct {
	// Body is a JSON object.
	Body io.Reader
	// List is the name of the member that lists the documents, which the client may write in any case.
	List string
	// MaxDocument is the maximum size of a document in bytes.
	MaxDocument int
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

// importedDocument is a document of the body.
type importedDocument struct {
	apidef.Document

	problems []apidef.Problem // nil if it is valid
}

// documents yields the documents of the body, checked, and validates the envelope after them. An error is the last.
func (imp *Import) documents() iter.Seq2[importedDocument, error] {
	return func(yield func(importedDocument, error) bool) {
		reader := jsonlist.NewReader(imp.Body, imp.List, imp.MaxDocument)
		var doc importedDocument
		for {
			raw, err := reader.Next()
			if err == nil {
				doc.Document, doc.problems, err = imp.Check.Import(doc.JSON, raw)
			}
			if err == nil {
				if !yield(doc, nil) {
					return
				}
				continue
			}
			if err == io.EOF { //nolint:errorlint // the end of the list; an error of Body may wrap io.EOF
				err = imp.validateEnvelope(reader.Rest())
			}
			if err != nil {
				yield(doc, imp.describe(err, reader.Offset()))
			}
			return
		}
	}
}

func (imp *Import) validateEnvelope(rest []byte) error {
	envelope, err := jsondoc.Compact(rest)
	if err != nil {
		return &MalformedError{problems: []apidef.Problem{{Reason: err.Error()}}, cause: err}
	}
	return imp.ValidateEnvelope(envelope)
}

// describe adds to a syntax error where in the body it is.
func (imp *Import) describe(err error, offset int64) error {
	if errors.Is(err, jsonlist.ErrSyntax) || errors.Is(err, jsonschema.ErrSyntax) {
		reason := err.Error() + ", before byte " + strconv.FormatInt(offset+1, 10)
		return &MalformedError{problems: []apidef.Problem{{Reason: reason}}, cause: err}
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
		return &MalformedError{problems: []apidef.Problem{{Path: imp.place(), Reason: "has the id of one before it"}}}
	}
	imp.Result.read++
	return nil
}

// place is the JSON pointer to the document that was read last.
func (imp *Import) place() string {
	return "/" + imp.List + "/" + strconv.Itoa(imp.Result.read)
}
