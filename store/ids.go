package store

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// IDs makes the ids and keys of new rows.
type IDs interface {
	// Object is 24 hexadecimal digits, the form of a MongoDB ObjectID (facts §2.4).
	Object() string
	// Key is 32 hexadecimal digits: an access key, or an `api_id`.
	Key() string
	// Nonce is the base64 of a UUID's text: 48 characters that need no escaping in a URL (facts §4.15).
	Nonce() string
	// UUID is a UUID's text: a node's id.
	UUID() string
}

// ObjectIDs is the IDs of a running server. An object id is 4 bytes of Unix seconds, 5 random ones that the
// process keeps, and 3 of a counter.
type ObjectIDs struct {
	now     func() time.Time
	process [5]byte
	counter atomic.Uint32
}

// NewIDs seeds an ObjectIDs from the system's randomness.
func NewIDs(now func() time.Time) *ObjectIDs {
	ids := &ObjectIDs{now: now}
	var seed [4]byte
	// crypto/rand does not fail: it ends the program if the system has no randomness.
	_, _ = io.ReadFull(rand.Reader, ids.process[:])
	_, _ = io.ReadFull(rand.Reader, seed[:])
	ids.counter.Store(binary.BigEndian.Uint32(seed[:]))
	return ids
}

// Object implements IDs.
func (ids *ObjectIDs) Object() string {
	var id [12]byte
	binary.BigEndian.PutUint32(id[0:], uint32(ids.now().Unix()))
	var count [4]byte
	binary.BigEndian.PutUint32(count[:], ids.counter.Add(1))
	copy(id[4:], ids.process[:])
	copy(id[9:], count[1:])
	return hex.EncodeToString(id[:])
}

// Key implements IDs.
func (ids *ObjectIDs) Key() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}

// Nonce implements IDs.
func (ids *ObjectIDs) Nonce() string {
	return base64.URLEncoding.EncodeToString([]byte(uuid.NewString()))
}

// UUID implements IDs.
func (ids *ObjectIDs) UUID() string { return uuid.NewString() }

// NewNodeNonce makes a nonce that is not kept: gateways are given one, and it is asked of none.
func (s *Store) NewNodeNonce() string { return s.ids.UUID() }
