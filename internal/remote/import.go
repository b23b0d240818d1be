package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"gatehouse/internal/jsondoc"
)

const (
	// batchBytes and batchDocuments limit a request of an import. The limit of Tyk Dashboard for bodies is not documented:
	// an import that is refused as a whole is sent again in halves.
	batchBytes     = 4 << 20
	batchDocuments = 500
	// maxFailures is the number of consecutive documents that fail with a status of 500 or more and end an import. Tyk
	// Dashboard also sends such a status for a document that it does not accept.
	maxFailures = 20
)

// Import imports APIs or policies in batches.
type Import struct {
	server *Server
	kind   Kind
	// refused is called for each document that the server does not accept.
	refused func(doc json.RawMessage, cause error)

	batch []json.RawMessage
	bytes int
}

// Import returns an import of APIs or policies. refused is called for each document that the server refuses. The import
// must be flushed.
func (s *Server) Import(kind Kind, refused func(doc json.RawMessage, cause error)) *Import {
	return &Import{server: s, kind: kind, refused: refused}
}

// Add adds a document. The error is one that ends the import.
func (i *Import) Add(ctx context.Context, doc json.RawMessage) error {
	if len(i.batch) == batchDocuments || i.bytes > 0 && i.bytes+len(doc) > batchBytes {
		if err := i.Flush(ctx); err != nil {
			return err
		}
	}
	i.batch = append(i.batch, doc)
	i.bytes += len(doc)
	return nil
}

// Flush sends the documents that have been added.
func (i *Import) Flush(ctx context.Context) error {
	batch := i.batch
	i.batch, i.bytes = nil, 0
	return i.send(ctx, batch)
}

// send sends documents in one request. If the server refuses the request, send repeats it with each half, until it has
// found the documents that the server does not accept, and imported the others.
func (i *Import) send(ctx context.Context, batch []json.RawMessage) error {
	if len(batch) == 0 {
		return nil
	}
	reply, err := i.server.body(ctx, i.call(ctx, batch))
	switch {
	case err == nil:
		i.server.failures = 0
		return i.result(ctx, batch, reply)
	case IsFatal(err):
		return err
	case len(batch) == 1:
		return i.refuse(batch[0], err)
	}
	middle := len(batch) / 2
	if err := i.send(ctx, batch[:middle]); err != nil {
		return err
	}
	return i.send(ctx, batch[middle:])
}

// refuse reports a document that the server does not accept.
func (i *Import) refuse(doc json.RawMessage, cause error) error {
	if failed, ok := errors.AsType[*Error](cause); ok && failed.Status >= http.StatusInternalServerError {
		if i.server.failures++; i.server.failures >= maxFailures {
			return fmt.Errorf("%d %s in a row were not stored: %w", maxFailures, i.kind.Plural(), cause)
		}
	} else {
		i.server.failures = 0
	}
	i.refused(doc, cause)
	return nil
}

// importReply is the response to an import.
type importReply struct {
	Message string
	Meta    map[string]bool // reports whether a document is stored, by its ID
}

// stored reports whether a document is stored. It looks for each ID of the document, because it is not documented which
// one is in the response.
func (r importReply) stored(kind Kind, doc json.RawMessage) bool {
	ids := []string{IDOf(kind, doc), textOf(doc, "_id")}
	if kind == API {
		ids[1] = textOf(doc, "api_definition", "id")
	}
	for _, id := range ids {
		if r.Meta[id] {
			return true
		}
	}
	return false
}

// result finds the documents that were not imported, and sends each in a request of its own to receive the reason: the
// message of a response has only the first ones.
func (i *Import) result(ctx context.Context, batch []json.RawMessage, reply json.RawMessage) error {
	var imported importReply
	if err := json.Unmarshal(reply, &imported); err != nil {
		return fmt.Errorf("%s: read the response: %w", i.operation(), err)
	}
	refused := false
	for _, stored := range imported.Meta {
		refused = refused || !stored
	}
	switch {
	case !refused:
		return nil
	case len(batch) == 1:
		return i.refuse(batch[0], &Error{i.operation(), http.StatusOK, Printable(imported.Message)})
	}
	for _, doc := range batch {
		if imported.stored(i.kind, doc) {
			continue
		}
		if err := i.send(ctx, []json.RawMessage{doc}); err != nil {
			return err
		}
	}
	return nil
}

// operation returns the method and the path of the import.
func (i *Import) operation() string {
	if i.kind == API {
		return "POST /admin/apis/import"
	}
	return "POST /admin/policies/import"
}

// call returns the call that imports documents.
func (i *Import) call(ctx context.Context, batch []json.RawMessage) call {
	var body bytes.Buffer
	body.WriteByte('{')
	body.Write(jsondoc.Quote(ListName(i.kind)))
	body.WriteString(":[")
	for n, doc := range batch {
		if n > 0 {
			body.WriteByte(',')
		}
		body.Write(doc)
	}
	body.WriteString("]}")
	return call{i.operation(), func() (*http.Response, error) {
		sent := bytes.NewReader(body.Bytes())
		if i.kind == API {
			return i.server.cfg.Client.ImportAPIsWithBody(ctx, jsonType, sent)
		}
		return i.server.cfg.Client.ImportPoliciesWithBody(ctx, jsonType, sent)
	}}
}
