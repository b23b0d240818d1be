// Package webfile serves files that are embedded in the program, or made of such files: in two encodings, each made
// once, with an ETag and the headers that keep a browser from interpreting them as something else.
package webfile

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"time"

	"gatehouse/httpbody"
)

// Values of Cache-Control.
const (
	// Forever is for files whose paths change with their content.
	Forever = "public, max-age=31536000, immutable"
	// Revalidate is for files that change with the server. Their ETag makes it cheap to ask.
	Revalidate = "no-cache"
)

// File is a file that is served at one path. Its methods are safe for concurrent use.
type File struct {
	Path         string
	MediaType    string
	CacheControl string
	// Policy is the Content-Security-Policy of a page, "" for other files. A page with a policy has an origin's windows to
	// itself, too: a page of another origin that opens it gets no reference to its window.
	Policy  string
	Content func() (Content, error) // called for each request; sync.OnceValues makes it once
}

// Content is the content of a file in both encodings, so that no request compresses or decompresses it, and the hash
// that its ETag is made of.
type Content struct {
	plain, gzipped []byte
	hash           string
}

// Plain returns a function that returns a content, compressed when it is needed first, of what text returns.
func Plain(text func() ([]byte, error)) func() (Content, error) {
	return sync.OnceValues(func() (Content, error) {
		plain, err := text()
		if err != nil {
			return Content{}, err
		}
		var gzipped bytes.Buffer
		writer := gzip.NewWriter(&gzipped)
		_, err = writer.Write(plain)
		if err == nil {
			err = writer.Close()
		}
		return Content{plain, gzipped.Bytes(), Hash(plain)}, err
	})
}

// Bytes is Plain for a text that is there.
func Bytes(text []byte) func() (Content, error) {
	return Plain(func() ([]byte, error) { return text, nil })
}

// Gzipped returns a function that returns a content that is compressed with gzip.
func Gzipped(gzipped []byte) func() (Content, error) {
	return sync.OnceValues(func() (Content, error) {
		plain, err := decompress(gzipped)
		return Content{plain, gzipped, Hash(gzipped)}, err
	})
}

// Hash returns the beginning of the SHA-256 of texts, for paths and ETags.
func Hash(texts ...[]byte) string {
	sum := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(sum, "%d\n", len(text))
		sum.Write(text)
	}
	const length = 8
	return hex.EncodeToString(sum.Sum(nil)[:length])
}

// MediaType returns the media type of a file by its extension.
func MediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "application/octet-stream"
	}
}

// Serve sends the file, or 304 to a client that has it.
func (f *File) Serve(w http.ResponseWriter, r *http.Request) error {
	loaded, err := f.Content()
	if err != nil {
		return fmt.Errorf("serve %s: %w", f.Path, err)
	}
	body, encoding := loaded.plain, ""
	if httpbody.AcceptsGzip(r) {
		body, encoding = loaded.gzipped, "gzip"
	}
	header := w.Header()
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Content-Type", f.MediaType)
	set("Content-Encoding", encoding)
	set("Vary", "Accept-Encoding")
	set("Cache-Control", f.CacheControl)
	set("ETag", `W/"`+loaded.hash+`"`) // weak: the same for every encoding
	set("X-Content-Type-Options", "nosniff")
	set("Referrer-Policy", "no-referrer")
	if f.Policy != "" {
		set("Content-Security-Policy", f.Policy)
		set("Cross-Origin-Opener-Policy", "same-origin")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return nil
}

// Redirect sends the client to a location, which may be relative.
func Redirect(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// decompress returns what is in a file of gzip.
func decompress(b []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}
