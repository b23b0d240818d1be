package store

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
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
	// Token returns 256 random bits in base64, without padding and for URLs: the token of a session.
	Token() string
	// UUID returns the text of a UUID: a node's ID.
	UUID() string
}

// ObjectIDs are the IDs of a running server. An object ID has 4 bytes of Unix seconds and 8 random ones: a user who
// knows the IDs of some objects must not be able to predict those of others, and use them first.
type ObjectIDs struct{ now func() time.Time }

// NewIDs returns ObjectIDs with random bytes of the operating system.
func NewIDs(now func() time.Time) *ObjectIDs { return &ObjectIDs{now} }

// Object implements IDs.
func (ids *ObjectIDs) Object() string {
	var id [12]byte
	binary.BigEndian.PutUint32(id[:4], uint32(ids.now().Unix()))
	_, _ = rand.Read(id[4:]) // it ends the program rather than return an error
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

// Token implements IDs.
func (ids *ObjectIDs) Token() string {
	var token [32]byte
	_, _ = rand.Read(token[:]) // it ends the program rather than return an error
	return base64.RawURLEncoding.EncodeToString(token[:])
}
