package server

import (
	"bytes"
	"context"
	"io"
	"iter"
	"sync"
	"time"

	"gatehouse/internal/apidef"
	"gatehouse/internal/coalesce"
	"gatehouse/internal/gziplist"
	"gatehouse/store"
)

// brokenTail ends a list that cannot be completed, so that it is not JSON. A gateway keeps its configuration then. It
// would take a response that ends early for a lost dashboard, register within its reload, and hang
// (docs/behaviour.md#lists).
const brokenTail = "\n!"

// nodeList is a list for gateways.
type nodeList struct {
	// operation is the ID of the operation that returns the list.
	operation string
	// rows lists the documents as they are while they are sent, and read all of one time.
	rows  func(ctx context.Context, checkedBy string) iter.Seq2[store.NodeDocument, error]
	read  func(ctx context.Context, checkedBy string, read func(store.NodeSnapshot) error) error
	check *apidef.Check
	// saveChecks stores the results of the documents that were checked, so that each is checked once.
	saveChecks func(ctx context.Context, checkedBy string, results []store.CheckResult) error
	// recordFetch records that a node was sent the list, and when its request began.
	recordFetch func(ctx context.Context, nodeID string, began time.Time) error

	cache nodeCache
}

// nodeCache keeps a list for gateways.
type nodeCache struct {
	memory *nodeMemory
	calls  coalesce.Group[nodeAnswer]
	// current is the last list that was made. It belongs to the function of calls.
	current *nodeSnapshot
}

// nodeAnswer is a list that has everything that was committed before a time of the database's clock.
type nodeAnswer struct {
	*nodeSnapshot

	at time.Time
}

// nodeSnapshot is a list for gateways as it is stored at one time.
type nodeSnapshot struct {
	memory  *nodeMemory
	version store.Version
	list    *gziplist.List // nil if the list is not kept

	making sync.Mutex // guards plain, and is held while it is made
	plain  []byte     // the elements, not compressed; nil until a client needs them

	users int // number of requests that send it, and 1 while it is the current one; guarded by memory.mu
	bytes int // that it occupies; guarded by memory.mu
}

// nodeMemory bounds the memory of all lists: the current ones, and older ones that slow clients still receive.
type nodeMemory struct {
	mu    sync.Mutex // guards the following, and those of snapshots; nothing waits while it is held
	limit int        // bytes
	used  int        // bytes of the snapshots that have users
}

// free returns how many bytes are not used.
func (m *nodeMemory) free() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit - m.used
}

// keep adds a user of a snapshot.
func (s *nodeSnapshot) keep() {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	if s.users == 0 {
		s.memory.used += s.bytes
	}
	s.users++
}

// release removes a user. Without one, the memory is that of the garbage collector.
func (s *nodeSnapshot) release() {
	if s == nil {
		return
	}
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	if s.users--; s.users == 0 {
		s.memory.used -= s.bytes
	}
}

// grow adds memory to a snapshot that has users. It reports whether the limit allows that.
func (s *nodeSnapshot) grow(bytes int) bool {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	if s.memory.used+bytes > s.memory.limit {
		return false
	}
	s.memory.used += bytes
	s.bytes += bytes
	return true
}

// writeGzip writes the elements, separated by commas, as gzip members.
func (s *nodeSnapshot) writeGzip(to io.Writer) error {
	_, err := to.Write(s.list.Members())
	return err
}

// writePlain writes the elements, separated by commas. They are kept if the memory allows that, otherwise decompressed
// each time.
func (s *nodeSnapshot) writePlain(to io.Writer) error {
	if plain := s.text(); plain != nil {
		_, err := to.Write(plain)
		return err
	}
	_, err := s.list.WriteTo(to)
	return err
}

// text returns the elements, separated by commas, nil if the memory does not allow it.
func (s *nodeSnapshot) text() []byte {
	s.making.Lock()
	defer s.making.Unlock()
	if s.plain == nil && s.grow(s.list.Len()) {
		plain := bytes.NewBuffer(make([]byte, 0, s.list.Len()))
		if _, err := s.list.WriteTo(plain); err != nil {
			panic(err) // of text that this process has compressed
		}
		s.plain = plain.Bytes()
	}
	return s.plain
}
