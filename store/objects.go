package store

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"github.com/jackc/pgx/v5"
)

// Object is a document of an organisation that is neither an API nor a policy, and what it is searched by.
type Object struct {
	// ID has 24 hexadecimal digits.
	ID string
	// Kind is what the object is, such as "webhook".
	Kind  string
	OrgID string
	// PublicID is another ID, which is unique among the objects of this kind of the organisation; "" if there is none.
	PublicID string
	// LookUp is what objects of the kind are also found by; "" if nothing.
	LookUp string
	// PasswordHash is the hash of a password, which is not in the document; "" if there is none.
	PasswordHash string
	Document     json.RawMessage
}

// objectColumns are the columns that are read into an Object.
const objectColumns = `id, kind, org_id, coalesce(public_id, '') AS public_id, coalesce(look_up, '') AS look_up,
	coalesce(password_hash, '') AS password_hash, document`

// columns are the columns that an Object is written to.
func (o Object) columns() columns {
	return columns{
		{"id", o.ID},
		{"kind", o.Kind},
		{"org_id", o.OrgID},
		{"public_id", nonEmpty(o.PublicID)},
		{"look_up", nonEmpty(o.LookUp)},
		{"password_hash", nonEmpty(o.PasswordHash)},
		{"document", o.Document},
		{"size", len(o.Document)},
	}
}

// ObjectRef says which object of a kind is meant.
type ObjectRef struct {
	Kind string
	// OrgID is the organisation of the object; nil is any.
	OrgID *string
	// ID is the ID or, if no object has it, the public ID. Without OrgID, a public ID that objects of several
	// organisations have is that of none.
	ID string
	// LookUp is what the object is found by in place of an ID, if it is not "".
	LookUp string
}

// where selects the objects that may be meant. The first of them is.
func (ref ObjectRef) where() (conditions, pgx.StrictNamedArgs) {
	where, args := ofOrganisation(ref.OrgID)
	args["kind"] = ref.Kind
	if ref.LookUp != "" {
		args["look_up"] = ref.LookUp
		return append(where, `kind = @kind`, `look_up = @look_up`), args
	}
	args["id"] = ref.ID
	byID := `(id = @id OR public_id = @id)`
	if ref.OrgID == nil {
		byID = `(id = @id OR public_id = @id AND NOT EXISTS (
			SELECT FROM objects AS other
			WHERE other.kind = @kind AND other.public_id = @id AND other.org_id <> objects.org_id))`
	}
	return append(where, `kind = @kind`, byID), args
}

// order puts the object that is meant first.
func (ref ObjectRef) order() string {
	if ref.LookUp != "" {
		return ` ORDER BY position LIMIT 1`
	}
	return ` ORDER BY id = @id DESC, position LIMIT 1`
}

// NewObjectID returns the ID of a new object.
func (s *Store) NewObjectID() string { return s.ids.Object() }

// NewPublicID returns the public ID of an object that is to have one.
func (s *Store) NewPublicID() string { return s.ids.Key() }

// CreateObject stores an object. It returns ErrConflict if the public ID is taken, ErrQuota, and
// ErrUnknownOrganisation.
func (s *Store) CreateObject(ctx context.Context, o Object) (err error) {
	defer wrap("create object", &err)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		sql, args := o.columns().insert("objects")
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			return err
		}
		return s.quota.check(ctx, tx, "objects", o.OrgID)
	})
	return publicIDOwner(ctx, s.pool, o, err)
}

// publicIDOwner names the object that has the public ID, if that is why an object was not stored. Which member of the
// document the public ID is depends on the kind.
func publicIDOwner(ctx context.Context, db querier, o Object, err error) error {
	if !errors.Is(translate(err), ErrConflict) {
		return err
	}
	return withOwner(ctx, db, err, ownerQuery{
		member: "public_id", owner: o.Kind,
		sql:  `SELECT id FROM objects WHERE kind = $1 AND public_id = $2 AND org_id = $3`,
		args: []any{o.Kind, o.PublicID, o.OrgID},
	})
}

// Object returns the object that is meant, or ErrNotFound.
func (s *Store) Object(ctx context.Context, ref ObjectRef) (o Object, err error) {
	defer wrap("get object", &err)
	where, args := ref.where()
	return queryRow[Object](ctx, s.pool, `SELECT `+objectColumns+` FROM objects`+where.sql()+ref.order(), args)
}

// EditObject replaces the object that is meant by what edit returns for it, without a chance for others to change it
// meanwhile. Its ID, kind and organisation stay. It returns ErrNotFound, ErrQuota, and ErrConflict if the public ID is
// taken.
func (s *Store) EditObject(
	ctx context.Context, ref ObjectRef, edit func(Object) Object,
) (edited Object, err error) {
	defer wrap("edit object", &err)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		stored, err := lockObject(ctx, tx, ref)
		if err != nil {
			return err
		}
		edited = edit(stored)
		edited.ID, edited.Kind, edited.OrgID = stored.ID, stored.Kind, stored.OrgID
		return s.updateObject(ctx, tx, edited, stored)
	})
	return edited, publicIDOwner(ctx, s.pool, edited, err)
}

// PutObject stores an object, or replaces the one of its kind and organisation that has its public ID already by what
// merge returns for that. It returns the ID of the object that is stored now, the error of merge, ErrQuota, or
// ErrUnknownOrganisation.
func (s *Store) PutObject(
	ctx context.Context, o Object, merge func(stored Object) (Object, error),
) (id string, err error) {
	defer wrap("put object", &err)
	ref := ObjectRef{Kind: o.Kind, OrgID: &o.OrgID, ID: o.PublicID}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		id = o.ID
		sql, args := o.columns().insert("objects")
		tag, err := tx.Exec(ctx, sql+` ON CONFLICT (kind, public_id, org_id) DO NOTHING`, args...)
		switch {
		case err != nil:
			return err
		case tag.RowsAffected() > 0:
			return s.quota.check(ctx, tx, "objects", o.OrgID)
		}
		stored, err := lockObject(ctx, tx, ref)
		if err != nil {
			return err
		}
		merged, err := merge(stored)
		if err != nil {
			return err
		}
		merged.ID, merged.Kind, merged.OrgID = stored.ID, stored.Kind, stored.OrgID
		id = stored.ID
		return s.updateObject(ctx, tx, merged, stored)
	})
	return id, err
}

func lockObject(ctx context.Context, tx pgx.Tx, ref ObjectRef) (Object, error) {
	where, args := ref.where()
	return queryRow[Object](ctx, tx,
		`SELECT `+objectColumns+` FROM objects`+where.sql()+ref.order()+` FOR NO KEY UPDATE`, args)
}

func (s *Store) updateObject(ctx context.Context, tx pgx.Tx, o, stored Object) error {
	sql, args := o.columns().update("objects", o.ID)
	err := execRow(ctx, tx, sql, args...)
	if err == nil && len(o.Document) > len(stored.Document) {
		err = s.quota.check(ctx, tx, "objects", o.OrgID)
	}
	return err
}

// DeleteObject deletes the object that is meant, or returns ErrNotFound.
func (s *Store) DeleteObject(ctx context.Context, ref ObjectRef) (err error) {
	defer wrap("delete object", &err)
	where, args := ref.where()
	return execRow(ctx, s.pool, `DELETE FROM objects WHERE id =
		(SELECT id FROM objects`+where.sql()+ref.order()+`)`, args)
}

// ObjectFilter selects objects of a list.
type ObjectFilter struct {
	Kind string
	// OrgID selects those of one organisation; nil is all.
	OrgID *string
	// LookUp selects those that are found by it; "" is all.
	LookUp string
	Page   Page
}

func (f ObjectFilter) where() (conditions, pgx.StrictNamedArgs) {
	where, args := ofOrganisation(f.OrgID)
	where, args["kind"] = append(where, `kind = @kind`), f.Kind
	if f.LookUp != "" {
		where, args["look_up"] = append(where, `look_up = @look_up`), f.LookUp
	}
	return where, args
}

// Objects lists objects, oldest first.
func (s *Store) Objects(ctx context.Context, f ObjectFilter) iter.Seq2[Row, error] {
	where, args := f.where()
	return listQuery[Row]{
		operation: "list objects", columns: `id, document`, table: `objects`,
		where: where, args: args, page: f.Page, scan: scanRow,
	}.rows(ctx, s.pool)
}

// CountObjects counts the objects of all pages.
func (s *Store) CountObjects(ctx context.Context, f ObjectFilter) (n int, err error) {
	defer wrap("count objects", &err)
	where, args := f.where()
	return countRows(ctx, s.pool, `objects`+where.sql(), args)
}
