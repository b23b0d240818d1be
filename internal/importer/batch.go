package importer

import (
	"errors"
	"runtime"
	"sync"

	"gatehouse/internal/apidef"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonlist"
	"gatehouse/internal/jsonschema"
)

const (
	// batchBytes is how many bytes of documents are checked at once, at least.
	batchBytes = 256 << 10
	// maxWorkers bounds how many goroutines check the documents of an import, so that one import leaves cores to others.
	maxWorkers = 4
)

// batch is documents that are checked at once, and memory that is used again for the next ones.
type batch struct {
	documents []importedDocument // of which the first len(raw) are in use
	raw       [][]byte           // the documents as the client sent them
	text      []byte             // of all of raw, one after another
	// end is the error with which the reader ended, behind these documents.
	end error
}

// importedDocument is a document of the body.
type importedDocument struct {
	apidef.Document

	problems []apidef.Problem // nil if it is valid
	err      error            // it is not JSON
	position jsonlist.Position
}

// fill replaces the documents of a batch by the next ones of a reader.
func (b *batch) fill(reader *jsonlist.Reader) {
	b.raw, b.text = b.raw[:0], b.text[:0]
	for len(b.text) < batchBytes {
		var raw []byte
		if raw, b.end = reader.Next(); b.end != nil {
			return
		}
		start := len(b.text)
		// If text grows, earlier documents keep the memory that they are in.
		b.text = append(b.text, raw...)
		n := len(b.raw)
		b.raw = append(b.raw, b.text[start:len(b.text):len(b.text)])
		if n == len(b.documents) {
			b.documents = append(b.documents, importedDocument{})
		}
		b.documents[n].position = reader.Position()
	}
}

// check checks the documents, on several cores.
func (b *batch) check(check *apidef.Check) {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers, len(b.raw))
	var checking sync.WaitGroup
	for worker := range workers {
		checking.Go(func() {
			for n := worker; n < len(b.raw); n += workers {
				doc := &b.documents[n]
				doc.Document, doc.problems, doc.err = check.Import(doc.JSON, b.raw[n])
				if errors.Is(doc.err, jsonschema.ErrSyntax) {
					doc.err = syntaxError(doc.position, b.raw[n], doc.err)
				}
			}
		})
	}
	checking.Wait()
}

// syntaxError returns the error for a document that is not JSON, with its place in the body.
func syntaxError(start jsonlist.Position, raw []byte, cause error) error {
	reason := cause.Error()
	if _, err := jsondoc.Compact(raw); err != nil {
		if syntax, ok := errors.AsType[*jsondoc.SyntaxError](err); ok {
			reason, start = syntax.Reason, start.Behind(raw[:syntax.Offset])
		}
	}
	return notJSON(reason+": "+start.String(), cause)
}

// checked returns the documents.
func (b *batch) checked() []importedDocument { return b.documents[:len(b.raw)] }
