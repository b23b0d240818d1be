package server

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"gatehouse/store"
)

// etagBytes is how much of the SHA-256 of a document its ETag has: no two documents have the same by chance.
const etagBytes = 16

// etagOf returns the ETag of a stored document. That of an OAS API includes what is stored beside its document.
func etagOf(stored json.RawMessage) string {
	sum := sha256.Sum256(stored)
	return `"` + hex.EncodeToString(sum[:etagBytes]) + `"`
}

// setETag sets the header of a response that has a stored document.
func (r *request) setETag(stored json.RawMessage) {
	r.Echo.Response().Header().Set("ETag", etagOf(stored))
}

// matches reports whether a stored document is one of If-Match; nil is any. A weak ETag counts like the strong one:
// proxies that compress responses weaken it, and the stored document is the same.
func matches(ifMatch *string, stored json.RawMessage) bool {
	if ifMatch == nil {
		return true
	}
	etag := etagOf(stored)
	for each := range strings.SplitSeq(*ifMatch, ",") {
		each = strings.TrimSpace(each)
		if each == "*" || strings.TrimPrefix(each, "W/") == etag {
			return true
		}
	}
	return false
}

// ifMatching returns edit for a stored API that is one of If-Match, and errChanged for any other. The store calls it
// while nobody else can change the API.
func ifMatching(ifMatch *string, edit func(store.API) (store.API, error)) func(store.API) (store.API, error) {
	return func(stored store.API) (store.API, error) {
		if !matches(ifMatch, stored.Document) {
			return stored, errChanged
		}
		return edit(stored)
	}
}
