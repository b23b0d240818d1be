// Package store keeps owners, notes and tags in Postgres. Each statement names the owner of what it reads or changes.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/notes/api"
	"example.com/notes/migrations"
)

var (
	// ErrNotFound is returned for an ID, or an access key, that does not exist or is another owner's.
	ErrNotFound = pgx.ErrNoRows
	// ErrTaken is returned for the name of another tag.
	ErrTaken = errors.New("the name is taken")
	// ErrUnknownTag is returned for a note with a tag that its owner does not have.
	ErrUnknownTag = errors.New("there is no such tag")
)

// Store is a database. It is safe for concurrent use.
type Store struct{ pool *pgxpool.Pool }

// Open connects to a database, and applies the migrations that it lacks.
func Open(ctx context.Context, connString string) (*Store, error) {
	if err := migrations.All.Up(ctx, connString); err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, connString)
	return &Store{pool}, err
}

// Close waits for calls, and disconnects. Calls after Close return errors.
func (s *Store) Close() { s.pool.Close() }

func newID() string { return strings.ToLower(rand.Text()) }

// exec runs a statement, and returns the error none if it changes no row.
func (s *Store) exec(ctx context.Context, none error, sql string, args ...any) error {
	done, err := s.pool.Exec(ctx, sql, args...)
	if err == nil && done.RowsAffected() == 0 {
		return none
	}
	return err
}

// CreateOwner stores an owner. The database has a hash of the access key only.
func (s *Store) CreateOwner(ctx context.Context, name string) (api.Owner, error) {
	owner := api.Owner{Id: newID(), Name: name, AccessKey: rand.Text()}
	return owner, s.exec(ctx, nil, `INSERT INTO owners (id, name, key_hash) VALUES ($1, $2, sha256($3))`,
		owner.Id, name, []byte(owner.AccessKey))
}

// DeleteOwner deletes an owner with all notes and tags.
func (s *Store) DeleteOwner(ctx context.Context, id string) error {
	return s.exec(ctx, nil, `DELETE FROM owners WHERE id = $1`, id)
}

// OwnerOf returns the ID of the owner with an access key.
func (s *Store) OwnerOf(ctx context.Context, key string) (id string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT id FROM owners WHERE key_hash = sha256($1)`, []byte(key)).Scan(&id)
	return id, err
}

// Tags returns all tags, by name.
func (s *Store) Tags(ctx context.Context, owner string) ([]api.Tag, error) {
	rows, _ := s.pool.Query(ctx, `SELECT id, name FROM tags WHERE owner_id = $1 ORDER BY name`, owner)
	return pgx.CollectRows(rows, pgx.RowToStructByName[api.Tag])
}

// CreateTag stores a tag. It returns ErrTaken if the owner has another of its name.
func (s *Store) CreateTag(ctx context.Context, owner, name string) (api.Tag, error) {
	tag := api.Tag{Id: newID(), Name: name}
	return tag, s.exec(ctx, ErrTaken, `INSERT INTO tags (owner_id, id, name) SELECT id, $2, $3 `+theOwner+`
		ON CONFLICT (owner_id, name) DO NOTHING`, owner, tag.Id, name)
}

// DeleteTag deletes a tag, also from notes.
func (s *Store) DeleteTag(ctx context.Context, owner, id string) error {
	return s.exec(ctx, ErrNotFound, `DELETE FROM tags WHERE owner_id = $1 AND id = $2`, owner, id)
}

const (
	theOwner = `FROM owners WHERE id = $1 FOR KEY SHARE` // no row if the owner was deleted meanwhile
	columns  = `id, title, text, created_at, updated_at,
		ARRAY(SELECT name FROM note_tags JOIN tags ON tags.id = tag_id WHERE note_id = notes.id ORDER BY name) AS tags`
	filtered = ` FROM notes WHERE owner_id = $1 AND ($2::text IS NULL OR words @@ websearch_to_tsquery('simple', $2))
		AND ($3::text IS NULL OR EXISTS (SELECT FROM note_tags JOIN tags ON tags.id = tag_id
			WHERE note_id = notes.id AND name = $3))`
	oneNote    = `SELECT ` + columns + ` FROM notes WHERE owner_id = $1 AND id = $2`
	insertNote = `INSERT INTO notes (owner_id, id, title, text) SELECT id, $2, $3, $4 ` + theOwner + ` RETURNING id`
	updateNote = `UPDATE notes SET title = $3, text = $4, updated_at = now() WHERE owner_id = $1 AND id = $2 RETURNING id`
	setTags    = `WITH found AS (SELECT id, name FROM tags WHERE owner_id = $1 AND name = ANY ($3) FOR KEY SHARE),
		removed AS (DELETE FROM note_tags WHERE note_id = $2 AND tag_id NOT IN (SELECT id FROM found)),
		added AS (INSERT INTO note_tags (note_id, tag_id) SELECT $2, id FROM found ON CONFLICT DO NOTHING)
		SELECT NOT EXISTS (SELECT unnest($3::text[]) EXCEPT SELECT name FROM found)`
)

// Notes returns a page of notes, oldest first. The defaults are those of the contract.
func (s *Store) Notes(ctx context.Context, owner string, p api.ListNotesParams) ([]api.Note, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+columns+filtered+` ORDER BY position
		LIMIT coalesce($4, 20) OFFSET (coalesce($5, 1) - 1) * coalesce($4, 20)`, owner, p.Search, p.Tag, p.Size, p.Page)
	return pgx.CollectRows(rows, pgx.RowToStructByName[api.Note])
}

// CountNotes returns the number of notes on all pages.
func (s *Store) CountNotes(ctx context.Context, owner string, p api.ListNotesParams) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*)`+filtered, owner, p.Search, p.Tag).Scan(&n)
	return n, err
}

// Note returns a note.
func (s *Store) Note(ctx context.Context, owner, id string) (api.Note, error) {
	rows, _ := s.pool.Query(ctx, oneNote, owner, id)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[api.Note])
}

// CreateNotes stores notes, all of them or none.
func (s *Store) CreateNotes(ctx context.Context, owner string, notes []api.NewNote) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for _, note := range notes {
			if err := (change{insertNote, owner, newID(), note}).make(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateNote stores a note.
func (s *Store) CreateNote(ctx context.Context, owner string, note api.NewNote) (api.Note, error) {
	return s.change(ctx, change{insertNote, owner, newID(), note})
}

// ReplaceNote replaces a note.
func (s *Store) ReplaceNote(ctx context.Context, owner, id string, note api.NewNote) (api.Note, error) {
	return s.change(ctx, change{updateNote, owner, id, note})
}

func (s *Store) change(ctx context.Context, c change) (note api.Note, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := c.make(ctx, tx); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, oneNote, c.owner, c.id)
		note, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[api.Note])
		return err
	})
	return note, err
}

// change is a statement that writes a note.
type change struct {
	sql, owner, id string
	note           api.NewNote
}

// make writes the note with its tags. It returns ErrUnknownTag if the owner lacks one of them, and ErrNotFound if there
// is no such note, or no owner any more.
func (c change) make(ctx context.Context, tx pgx.Tx) error {
	var known bool
	err := tx.QueryRow(ctx, c.sql, c.owner, c.id, c.note.Title, c.note.Text).Scan(nil)
	if err == nil {
		err = tx.QueryRow(ctx, setTags, c.owner, c.id, c.note.Tags).Scan(&known)
	}
	if err == nil && !known {
		return ErrUnknownTag
	}
	return err
}

// DeleteNote deletes a note.
func (s *Store) DeleteNote(ctx context.Context, owner, id string) error {
	return s.exec(ctx, ErrNotFound, `DELETE FROM notes WHERE owner_id = $1 AND id = $2`, owner, id)
}
