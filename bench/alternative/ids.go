package alternative

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"

	"github.com/google/uuid"
)

// newID returns 24 random hexadecimal digits, the form of the ID of a user.
func newID() string {
	var id [12]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// newKey returns 32 random hexadecimal digits, the form of an access key.
func newKey() string {
	key := uuid.New()
	return hex.EncodeToString(key[:])
}

// newNonce returns a UUID's text in base64, the form of a sign-on nonce.
func newNonce() string {
	return base64.URLEncoding.EncodeToString([]byte(uuid.NewString()))
}
