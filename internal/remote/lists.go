package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"

	"gatehouse/client"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonlist"
	"gatehouse/internal/spool"
)

const (
	// maxDocument is the maximum size of a document in a list, in bytes.
	maxDocument = 64 << 20
	// spoolMemory is the maximum size of a list in memory, in bytes; a longer list is in a file.
	spoolMemory = 1 << 20
	// all is the page number that requests a whole list in one response.
	all = -1
)

// List is a list of documents that has been received completely, so that no request is open while they are used.
type List struct {
	held *spool.Spool
	// only is the organisation whose documents All yields; nil is all.
	only *string
	// shared reports whether the server closes the list.
	shared bool
}

// All yields the documents. An error is the last.
func (l *List) All() iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for fields, err := range l.held.Records() {
			if err != nil {
				yield(nil, err)
				return
			}
			if l.only != nil && string(fields[0]) != *l.only {
				continue
			}
			if !yield(bytes.Clone(fields[1]), nil) {
				return
			}
		}
	}
}

// Close releases the list.
func (l *List) Close() error {
	if l.shared {
		return nil
	}
	return l.held.Close()
}

// compact returns a JSON value without insignificant whitespace.
func compact(raw []byte) (json.RawMessage, error) {
	var out bytes.Buffer
	out.Grow(len(raw))
	if err := json.Compact(&out, raw); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// eachOf calls use for each document of the list name in a response. A response without the list is an *Error: a server
// that lacks the operation may respond with an HTML page.
func (s *Server) eachOf(ctx context.Context, c call, name string, use func(json.RawMessage) error) error {
	response, err := s.do(ctx, c)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := bufio.NewReader(response.Body)
	if !startsObject(body) {
		return &Error{c.operation, response.StatusCode, fmt.Sprintf("the response has no list %q", name)}
	}
	reader := jsonlist.NewReader(body, name, maxDocument)
	for {
		raw, err := reader.Next()
		if err == io.EOF { //nolint:errorlint // the end of the list
			break
		}
		if err != nil {
			return fmt.Errorf("%s: read the response: %w", c.operation, err)
		}
		doc, err := compact(raw)
		if err != nil {
			return fmt.Errorf("%s: read the response: %w", c.operation, err)
		}
		if err := use(doc); err != nil {
			return err
		}
	}
	if _, listed := jsondoc.Get(reader.Rest(), name); !listed {
		return &Error{c.operation, response.StatusCode, fmt.Sprintf("the response has no list %q", name)}
	}
	return nil
}

// startsObject reports whether a text begins as a JSON object.
func startsObject(text *bufio.Reader) bool {
	for {
		next, err := text.Peek(1)
		if err != nil || !bytes.ContainsAny(next, " \t\r\n") {
			return err == nil && next[0] == '{'
		}
		_, _ = text.Discard(1) // it was peeked at
	}
}

// receive reads a list into a spool.
func (s *Server) receive(ctx context.Context, c call, kind Kind) (*List, error) {
	list := &List{held: spool.New(spool.Config{Dir: s.cfg.SpoolDir, Memory: spoolMemory, Max: math.MaxInt64})}
	err := s.eachOf(ctx, c, ListName(kind), func(doc json.RawMessage) error {
		return list.held.Add([]byte(OrganisationOf(kind, doc)), doc)
	})
	if err != nil {
		return nil, errors.Join(err, list.held.Close())
	}
	return list, nil
}

// ListName returns the member of an export that lists the documents of a kind.
func ListName(kind Kind) string {
	return map[Kind]string{
		Organisation: "organisations", User: "users", API: "apis", Policy: "Data", Key: "keys",
	}[kind]
}

// OrganisationIDs returns the IDs of all organisations.
func (s *Server) OrganisationIDs(ctx context.Context) (ids []string, err error) {
	page := all
	c := call{"GET /admin/organisations", func() (*http.Response, error) {
		return s.cfg.Client.GetOrgs(ctx, &client.GetOrgsParams{P: &page})
	}}
	err = s.eachOf(ctx, c, ListName(Organisation), func(doc json.RawMessage) error {
		ids = append(ids, IDOf(Organisation, doc))
		return nil
	})
	return ids, err
}

// Organisation returns the document of an organisation. The error is ErrNotFound if there is none.
func (s *Server) Organisation(ctx context.Context, id string) (json.RawMessage, error) {
	return s.body(ctx, call{"GET /admin/organisations/{orgID}", func() (*http.Response, error) {
		return s.cfg.Client.GetOrg(ctx, id)
	}})
}

// Documents returns the users, the APIs or the policies of an organisation. The list must be closed. It has no
// documents of other organisations, even if the server sends some. The error is ErrLacking if the server does not list
// them.
func (s *Server) Documents(ctx context.Context, kind Kind, organisation string) (*List, error) {
	if s.lacking[kind] == nil {
		list, err := s.receive(ctx, s.adminList(ctx, kind, organisation), kind)
		if err == nil {
			list.only = &organisation
			return list, nil
		}
		if !isLacking(err) {
			return nil, err
		}
		s.lacking[kind] = fmt.Errorf("%w: %w", ErrLacking, err)
	}
	if len(s.cfg.AccessKeys) == 0 {
		return nil, s.lacking[kind]
	}
	return s.dashboardDocuments(ctx, kind, organisation)
}

// adminList returns the call that lists objects in the admin API.
func (s *Server) adminList(ctx context.Context, kind Kind, organisation string) call {
	page := all
	switch kind {
	case User:
		return call{"GET /admin/users", func() (*http.Response, error) {
			return s.cfg.Client.ListUsers(ctx, &client.ListUsersParams{P: &page, OrgId: &organisation})
		}}
	case API:
		return call{"GET /admin/apis", func() (*http.Response, error) {
			return s.cfg.Client.ExportAPIs(ctx, &client.ExportAPIsParams{P: &page, OrgId: &organisation})
		}}
	default:
		return call{"GET /admin/policies", func() (*http.Response, error) {
			return s.cfg.Client.ExportPolicies(ctx, &client.ExportPoliciesParams{P: &page, OrgId: &organisation})
		}}
	}
}

// KeyIDs returns the IDs of the organisations that have a key. The error is ErrLacking if the server does not list
// them, as Tyk Dashboard without a gateway.
func (s *Server) KeyIDs(ctx context.Context) (map[string]bool, error) {
	raw, err := s.body(ctx, call{"GET /admin/org/keys", func() (*http.Response, error) {
		return s.cfg.Client.GetAllKeys(ctx)
	}})
	if err == nil {
		var listed struct {
			Data struct{ Keys []string }
		}
		if err = json.Unmarshal(raw, &listed); err == nil {
			ids := make(map[string]bool, len(listed.Data.Keys))
			for _, id := range listed.Data.Keys {
				ids[id] = true
			}
			return ids, nil
		}
	}
	if isLacking(err) {
		err = fmt.Errorf("%w: %w", ErrLacking, err)
	}
	return nil, err
}

// Key returns the session of the key of an organisation. The error is ErrNotFound if there is none.
func (s *Server) Key(ctx context.Context, organisation string) (json.RawMessage, error) {
	raw, err := s.body(ctx, call{"GET /admin/org/keys/{keyId}", func() (*http.Response, error) {
		return s.cfg.Client.GetOrgKey(ctx, organisation)
	}})
	if err != nil {
		return nil, err
	}
	session, ok := jsondoc.Get(raw, "data")
	if !ok {
		return nil, ErrNotFound
	}
	return session, nil
}
