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

// IDs creates the IDs and keys of new rows (docs/behaviour.md#ids).
type IDs interface {
	// Object returns 24 hexadecimal digits, like a MongoDB ObjectID.
	Object() string
	// Key returns 32 hexadecimal digits: an access key, or an `api_id`.
	Key() string
	// Nonce returns the base64 of the text of a UUID: 48 characters that need no escaping in a URL.
	Nonce() string
	// UUID returns the text of a UUID: a node's ID.
	UUID() string
}

// ObjectIDs are the IDs of a running server. An object ID has 4 bytes of Unix seconds, 5 random bytes of the process,
// and 3 bytes of a counter.
type ObjectIDs struct {
	now     func() time.Time
	process [5]byte
	counter atomic.Uint32
}

// NewIDs returns ObjectIDs with random bytes of the operating system.
func NewIDs(now func() time.Time) *ObjectIDs {
	ids := &ObjectIDs{now: now}
	var start [4]byte
	// crypto/rand ends the program rather than return an error.
	_, _ = io.ReadFull(rand.Reader, ids.process[:])
	_, _ = io.ReadFull(rand.Reader, start[:])
	ids.counter.Store(binary.BigEndian.Uint32(start[:]))
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
