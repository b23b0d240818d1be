package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/jackc/pgx/v5"
)

// Ref refers to an API or a policy in a request.
type Ref struct {
	// ID is one of its two IDs.
	ID string
	// OrgID is the organisation that it must belong to: what belongs to another one is not found. Nil is any.
	OrgID *string
}

// documentRef selects the row of a table that a Ref refers to.
type documentRef struct {
	Ref

	// byID is the condition that @id is one of the row's IDs, and order sorts the row that is meant first.
	byID, order string
}

// sql returns the clauses that select the row, and their arguments.
func (ref documentRef) sql() (string, pgx.StrictNamedArgs) {
	where, args := ofOrganisation(ref.OrgID)
	args["id"] = ref.ID
	return append(where, ref.byID).sql() + ` ORDER BY ` + ref.order + ` LIMIT 1`, args
}

// getDocument returns a row.
func getDocument(ctx context.Context, db querier, selected string, ref documentRef) (Row, error) {
	where, args := ref.sql()
	return queryRow[Row](ctx, db, selected+where, args)
}

// documentEdit replaces a row of a table.
type documentEdit[T any] struct {
	// columns are those of the fields of T, in table.
	columns, table string
	where          documentRef
	id             func(T) string
	// edit returns the new columns of the row.
	edit func(pgx.Tx, T) (columns, error)
}

// editDocumentIn replaces a row in a transaction.
func editDocumentIn[T any](ctx context.Context, tx pgx.Tx, e documentEdit[T]) error {
	where, args := e.where.sql()
	stored, err := queryRow[T](ctx, tx, `SELECT `+e.columns+` FROM `+e.table+where+` FOR UPDATE`, args)
	if err != nil {
		return err
	}
	changed, err := e.edit(tx, stored)
	if err != nil {
		return err
	}
	sql, values := changed.update(e.table, e.id(stored))
	return execRow(ctx, tx, sql, values...)
}

// checkedColumns returns the columns of a document that the check called checkedBy has found to be loadable.
func checkedColumns(document json.RawMessage, checkedBy string) columns {
	return columns{
		{"document", document},
		{"size", len(document)},
		{"checked", checked(checkedBy, digestOf(document))},
	}
}

// digest is the SHA-256 of a document.
type digest [sha256.Size]byte

func digestOf(document []byte) digest { return sha256.Sum256(document) }

// checked returns the value of the column checked (migrations/012_notices.sql) for a document that the check called
// checkedBy has found to be loadable.
func checked(checkedBy string, d digest) string {
	return checkedPrefix(checkedBy) + hex.EncodeToString(d[:])
}

// refusedBy returns the value of the column checked for a document that gateways cannot decode.
func refusedBy(checkedBy string, d digest) string { return refusedMark + checked(checkedBy, d) }

// checkedPrefix begins what checked returns for a check.
func checkedPrefix(checkedBy string) string { return checkedBy + ":" }

// refusedMark begins what refusedBy returns.
const refusedMark = "!"
