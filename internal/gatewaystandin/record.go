package gatewaystandin

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

// Call is one request of the gateway to its dashboard. The headers that identify the node have fields of their own;
// Headers tells an empty one from one that was not sent.
type Call struct {
	At        time.Time
	Method    string
	Path      string
	NodeID    string
	Nonce     string
	SessionID string
	Hostname  string
	Headers   http.Header
}

// Reasons for which a gateway ignores a notice.
const (
	ReasonMalformed = "malformed"
	ReasonSignature = "Payload signature is invalid!"
	ReasonUnknown   = "unknown command"
)

// Notice is one message of the notification channel as the gateway decoded it.
type Notice struct {
	Command  string
	Payload  string
	Accepted bool
	Reason   string // why the notice was ignored; empty if it was accepted
	Raw      string
}

// record is a list that one goroutine appends to and others read.
type record[T any] struct {
	mu    sync.Mutex // guards items
	items []T
}

func (r *record[T]) add(item T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items = append(r.items, item)
}

func (r *record[T]) list() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.items)
}

// drain empties the list and returns what was in it.
func (r *record[T]) drain() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := r.items
	r.items = nil
	return items
}
