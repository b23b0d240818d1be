package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"iter"
	"sync"

	"github.com/jackc/pgx/v5"
)

const (
	// batchRows and batchBytes bound what is written at once. With more rows the round trips do not count
	// (docs/performance.md), and two batches are in memory.
	batchRows  = 500
	batchBytes = 2 << 20
)

// Refusal is why a document was not imported.
type Refusal string

// The reasons of refusals.
const (
	RefusedOrganisation Refusal = "unknown organisation"
	RefusedOwner        Refusal = "the id belongs to another organisation"
	RefusedID           Refusal = "the id is another document's"
)

// importTable is a table that documents are imported into. New documents are copied into it, which is the fastest way.
// Documents that exist and differ are replaced. Those that exist and are the same are not touched, so that no gateway
// reloads for them.
type importTable struct {
	name string
	// columns are the columns to copy, in the order of document.row.
	columns []string
	// compare returns a row for each document of a batch, in order: whether its ID exists, whether the stored document
	// is unchanged, and why it is refused ("": it is not).
	compare string
	// replace updates documents that exist.
	replace string
}

// lockOrganisations selects the organisations of a batch, and keeps them from being deleted until the end of the
// import.
const lockOrganisations = `
	SELECT id FROM organisations WHERE id IN (SELECT org_id FROM input) ORDER BY id FOR KEY SHARE`

// importer imports documents that a check has found to be loadable by gateways.
type importer struct {
	table     importTable
	checkedBy string
}

// document is a document to import.
type document struct {
	id, otherID, orgID string
	active             *bool // nil if the table does not have it
	text               []byte
	digest             []byte // SHA-256 of text
}

// row returns the values of the table's columns.
func (i importer) row(d document) []any {
	row := []any{d.id, d.otherID, d.orgID, d.text, true, i.checkedBy, d.digest}
	if d.active != nil {
		row = append(row, *d.active)
	}
	return row
}

// documents converts a sequence of items into one of documents.
func documents[T any](items iter.Seq2[T, error], convert func(T) document) iter.Seq2[document, error] {
	return func(yield func(document, error) bool) {
		for item, err := range items {
			if !yield(convert(item), err) {
				return
			}
		}
	}
}

// importBatch is documents that are written at once, and memory that is used again for the next ones.
type importBatch struct {
	documents []document
	texts     []byte // of all documents, one after another
}

func newImportBatch() *importBatch {
	const lastDocument = 64 << 10 // may go beyond batchBytes
	return &importBatch{texts: make([]byte, 0, batchBytes+lastDocument)}
}

// fill replaces the documents of the batch by the next ones of a sequence. It leaves none at the end of the sequence.
func (b *importBatch) fill(next func() (document, error, bool)) error {
	b.documents, b.texts = b.documents[:0], b.texts[:0]
	for len(b.documents) < batchRows && len(b.texts) < batchBytes {
		d, err, more := next()
		if err != nil || !more {
			return err
		}
		digest := sha256.Sum256(d.text)
		start := len(b.texts)
		b.texts = append(b.texts, d.text...)
		// If texts has grown, earlier documents keep the memory that they are in.
		d.text, d.digest = b.texts[start:len(b.texts):len(b.texts)], digest[:]
		b.documents = append(b.documents, d)
	}
	return nil
}

// importAll imports documents in one transaction, and returns those that were refused, by ID. While Postgres writes one
// batch, the next is read. The transaction begins when the first batch has been read. A document is valid until the
// next one is requested.
func importAll(
	ctx context.Context, db pool, i importer, documents iter.Seq2[document, error],
) (refused map[string]Refusal, err error) {
	next, stop := iter.Pull2(documents)
	defer stop()
	current, following := newImportBatch(), newImportBatch()
	if err := current.fill(next); err != nil || len(current.documents) == 0 {
		return nil, err
	}
	refused = map[string]Refusal{}
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if err := i.begin(ctx, tx); err != nil {
			return err
		}
		for len(current.documents) > 0 {
			var written error
			var writing sync.WaitGroup
			writing.Go(func() { written = i.write(ctx, tx, current.documents, refused) })
			read := func() error {
				defer writing.Wait() // also if the sequence panics: the transaction is rolled back after that
				return following.fill(next)
			}()
			if err := cmp.Or(written, read); err != nil {
				return err
			}
			current, following = following, current
		}
		return nil
	})
	return refused, err
}

// begin prepares a transaction. It marks its documents as checked: the schema resets the check of all others
// (002_nodes.sql). It waits for other imports into the table: no one else adds rows, so that the result of compare
// stays valid. And it keeps Postgres from reading the whole table: a plan that was made for an empty table is used
// while the table fills. The statements of importTable are written so that IDs can only be looked up then.
func (i importer) begin(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('gatehouse.checked', 'on', true),
		set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true),
		pg_advisory_xact_lock(hashtextextended($1, 0))`, i.table.name)
	return err
}

// write writes a batch, and adds what it refuses to refused.
func (i importer) write(ctx context.Context, tx pgx.Tx, batch []document, refused map[string]Refusal) error {
	added, changed, err := i.compare(ctx, tx, batch, refused)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		if _, err := tx.Exec(ctx, i.table.replace, i.replaceArgs(changed)); err != nil {
			return err
		}
	}
	if len(added) == 0 {
		return nil
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{i.table.name}, i.table.columns,
		pgx.CopyFromSlice(len(added), func(n int) ([]any, error) { return i.row(added[n]), nil }))
	return err
}

// compare compares a batch with what is stored. It returns the documents that are new and those that have changed.
func (i importer) compare(
	ctx context.Context, tx pgx.Tx, batch []document, refused map[string]Refusal,
) (added, changed []document, err error) {
	ids, otherIDs, orgIDs, digests := transpose(batch)
	rows, _ := tx.Query(ctx, i.table.compare, pgx.StrictNamedArgs{ // ForEachRow returns the error
		"ids": ids, "other_ids": otherIDs, "org_ids": orgIDs, "digests": digests, "checked_by": i.checkedBy,
		"unknown_organisation": RefusedOrganisation, "other_owner": RefusedOwner, "id_taken": RefusedID,
	})
	var exists, unchanged bool
	var refusal Refusal
	n, taken := 0, make(map[string]bool, len(batch)) // other IDs of the batch
	_, err = pgx.ForEachRow(rows, []any{&exists, &unchanged, &refusal}, func() error {
		d := batch[n]
		n++
		if refusal == "" && taken[d.otherID] {
			refusal = RefusedID
		}
		switch {
		case refusal != "":
			refused[d.id] = refusal
			return nil
		case unchanged:
		case exists:
			changed = append(changed, d)
		default:
			added = append(added, d)
		}
		taken[d.otherID] = true
		return nil
	})
	return added, changed, err
}

// transpose returns what documents are compared by, as columns.
func transpose(batch []document) (ids, otherIDs, orgIDs []string, digests [][]byte) {
	for _, d := range batch {
		ids, otherIDs, orgIDs = append(ids, d.id), append(otherIDs, d.otherID), append(orgIDs, d.orgID)
		digests = append(digests, d.digest)
	}
	return ids, otherIDs, orgIDs, digests
}

// replaceArgs returns the arguments of importTable.replace.
func (i importer) replaceArgs(batch []document) pgx.StrictNamedArgs {
	ids, otherIDs, _, digests := transpose(batch)
	args := pgx.StrictNamedArgs{"ids": ids, "other_ids": otherIDs, "digests": digests, "checked_by": i.checkedBy}
	texts := make([]string, 0, len(batch))
	var active []bool
	for _, d := range batch {
		texts = append(texts, string(d.text))
		if d.active != nil {
			active = append(active, *d.active)
		}
	}
	if active != nil {
		args["active"] = active
	}
	args["documents"] = texts
	return args
}
