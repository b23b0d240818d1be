package desired

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/remote"
)

// Written is the number of documents of one kind that were written.
type Written struct {
	Kind  string `json:"kind"`
	Files int    `json:"files"`
}

// writer writes the documents of a server to files.
type writer struct {
	server *remote.Server
	folder string
	count  map[remote.Kind]int
}

// Write writes the documents of a server to a folder that does not exist or is empty: a folder for each organisation,
// and a file for each document, indented and otherwise as the server sends it. Users are written without access keys
// and without the members that the server sets. organisation is the ID of the only organisation to write; "" writes
// all, and the super users.
//
// Documents contain secrets, so that only the owner can read the files.
func Write(ctx context.Context, server *remote.Server, folder, organisation string) ([]Written, error) {
	if err := requireEmpty(folder); err != nil {
		return nil, err
	}
	w := writer{server, folder, map[remote.Kind]int{}}
	organisations := []string{organisation}
	if organisation == "" {
		var err error
		if organisations, err = server.OrganisationIDs(ctx); err != nil {
			return nil, err
		}
	}
	keys, err := server.KeyIDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the organisation keys: %w", err)
	}
	for _, id := range organisations {
		if err := w.organisation(ctx, id, keys[id]); err != nil {
			return nil, fmt.Errorf("organisation %s: %w", id, err)
		}
	}
	if organisation == "" {
		if err := w.list(ctx, remote.User, ""); err != nil {
			return nil, fmt.Errorf("super users: %w", err)
		}
	}
	var written []Written
	for _, kind := range remote.Kinds() {
		written = append(written, Written{kind.Plural(), w.count[kind]})
	}
	return written, nil
}

// requireEmpty returns an error if a folder has files, because apply would read them with the new ones. It creates the
// folder if it does not exist.
func requireEmpty(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(folder, 0o700)
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: name a new folder", folder)
	}
	return err
}

// organisation writes an organisation.
func (w *writer) organisation(ctx context.Context, id string, hasKey bool) error {
	doc, err := w.server.Organisation(ctx, id)
	if err != nil {
		return err
	}
	if err := w.file(remote.Organisation, filepath.Join(fileName(id), "organisation"), doc); err != nil {
		return err
	}
	for _, kind := range []remote.Kind{remote.User, remote.API, remote.Policy} {
		if err := w.list(ctx, kind, id); err != nil {
			return fmt.Errorf("list the %s: %w", kind.Plural(), err)
		}
	}
	if !hasKey {
		return nil
	}
	session, err := w.server.Key(ctx, id)
	if err != nil {
		return err
	}
	return w.file(remote.Key, filepath.Join(fileName(id), "key"), jsondoc.Object([]jsondoc.Member{
		jsondoc.NewMember("key_id", jsondoc.Quote(id)), jsondoc.NewMember("data", session),
	}))
}

// list writes the users, the APIs or the policies of an organisation.
func (w *writer) list(ctx context.Context, kind remote.Kind, organisation string) (err error) {
	list, err := w.server.Documents(ctx, kind, organisation)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, list.Close()) }()
	folder := filepath.Join(fileName(organisation), strings.ToLower(kind.Plural()))
	if organisation == "" {
		folder = "super-users"
	}
	for doc, err := range list.All() {
		if err != nil {
			return err
		}
		name := fileName(remote.IDOf(kind, doc))
		if kind == remote.User {
			doc = jsondoc.Without(settable(doc), accessKey)
		}
		if err := w.file(kind, filepath.Join(folder, name), doc); err != nil {
			return err
		}
	}
	return nil
}

// file writes a document.
func (w *writer) file(kind remote.Kind, name string, doc json.RawMessage) error {
	var text bytes.Buffer
	if err := json.Indent(&text, doc, "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	file, err := create(filepath.Join(w.folder, name))
	if err != nil {
		return err
	}
	w.count[kind]++
	_, err = file.Write(text.Bytes())
	return errors.Join(err, file.Close())
}

// create creates a file, with a number in its name if the name exists: fileName may return the same name for two IDs
// if one was chosen to collide.
func create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	name := path
	for n := 2; ; n++ {
		file, err := os.OpenFile(name+".json", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, os.ErrExist) {
			return file, err
		}
		name = fmt.Sprintf("%s.%d", path, n)
	}
}

// plainName matches IDs that are file names on every system.
var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,99}$`)

// fileName returns the name of a file for an ID. IDs are any text, and case-sensitive: a name that is not plain ends
// with a part of the ID's SHA-256.
func fileName(id string) string {
	if plainName.MatchString(id) {
		return id
	}
	const length = 60
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && plainName.MatchString("a"+string(r)) {
			return r
		}
		return '-'
	}, strings.ToLower(id))
	sum := sha256.Sum256([]byte(id))
	return strings.TrimLeft(plain[:min(len(plain), length)], ".-") + "-" + hex.EncodeToString(sum[:6])
}
