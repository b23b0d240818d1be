package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// batchRows and batchBytes bound what is written at once. With more rows the round trips do not count
	// (docs/performance.md), and two batches are in memory.
	batchRows  = 500
	batchBytes = 2 << 20
	// importPoll is how often an import looks whether one of another server has ended. It is short beside an import.
	importPoll = 50 * time.Millisecond
)

// Refusal is why a document was not imported.
type Refusal string

// The reasons of refusals. The last two are followed by the ID of the other organisation or document.
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
	SELECT id FROM organisations WHERE id = ANY (ARRAY(SELECT org_id FROM input)) ORDER BY id FOR KEY SHARE`

// importer imports documents that a check has found to be loadable by gateways.
type importer struct {
	table     importTable
	checkedBy string
	running   chan struct{} // has an element while this Store imports into the table
}

// document is a document to import.
type document struct {
	id, otherID, orgID string
	active             bool
	text               []byte
	digest             digest // of text
	derived            []byte // the table's column that follows from text: search or served; NULL if nil
}

// row returns the values of the table's columns.
func (i importer) row(d document) []any {
	return []any{
		d.id, d.otherID, d.orgID, d.text, checked(i.checkedBy, d.digest), d.active, d.derived, len(d.text),
	}
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
		d.digest = digestOf(d.text)
		start := len(b.texts)
		b.texts = append(b.texts, d.text...)
		// If texts has grown, earlier documents keep the memory that they are in.
		d.derived = bytes.Clone(d.derived)
		d.text = b.texts[start:len(b.texts):len(b.texts)]
		b.documents = append(b.documents, d)
	}
	return nil
}

// importAll imports documents in one transaction, and returns those that were refused, by ID. While Postgres writes one
// batch, the next is read. The transaction begins when the first batch has been read, and no other import of this Store
// into the table runs: imports that wait for a slow client must not occupy the connections. A document is valid until
// the next one is requested.
func importAll(
	ctx context.Context, db *pool, i importer, documents iter.Seq2[document, error],
) (refused map[string]Refusal, err error) {
	ctx = mayTakeLong(ctx)
	next, stop := iter.Pull2(documents)
	defer stop()
	current, following := newImportBatch(), newImportBatch()
	if err := current.fill(next); err != nil || len(current.documents) == 0 {
		return nil, err
	}
	select {
	case i.running <- struct{}{}:
		defer func() { <-i.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	refused = map[string]Refusal{}
	err = db.begin(ctx, func(tx pgx.Tx) error {
		if err := i.begin(ctx, tx); err != nil {
			return err
		}
		var changed bool
		for len(current.documents) > 0 {
			var written error
			var writing sync.WaitGroup
			writing.Go(func() {
				var wrote bool
				wrote, written = i.write(ctx, tx, current.documents, refused)
				changed = changed || wrote
			})
			read := func() error {
				defer writing.Wait() // also if the sequence panics: the transaction is rolled back after that
				return following.fill(next)
			}()
			if err := cmp.Or(written, read); err != nil {
				return err
			}
			current, following = following, current
		}
		if !changed {
			return nil
		}
		return announce(ctx, tx, EventChange)
	})
	return refused, err
}

// begin prepares a transaction. It waits for imports of other servers into the table: no one else adds rows, so that
// the result of compare stays valid. And it prevents Postgres from reading the whole table: a plan that was made for an
// empty table is used while the table fills. The statements of importTable are written so that IDs can only be looked
// up then. It also switches nested loops off: in such a plan, which expects 10 rows, they would compare each row of a
// batch with each other one.
func (i importer) begin(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true),
		set_config('enable_nestloop', 'off', true)`)
	for err == nil {
		// Another import may take longer than a statement is allowed to.
		locked, failure := queryValue[bool](ctx, tx,
			`SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))`, i.table.name)
		if failure != nil || locked {
			return failure
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(importPoll):
		}
	}
	return err
}

// importTries is how often a batch is written. Each time that it fails, a request has stored a document with one of the
// IDs since the batch was compared with what is stored, which the next comparison finds.
const importTries = 5

// write writes a batch, and adds what it refuses to refused. A batch that loses a race against a request is written
// again. wrote reports whether the table has changed.
func (i importer) write(
	ctx context.Context, tx pgx.Tx, batch []document, refused map[string]Refusal,
) (wrote bool, err error) {
	for range importTries {
		now := map[string]Refusal{}
		err = pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) (err error) {
			wrote, err = i.writeOnce(ctx, savepoint, batch, now)
			return err
		})
		if err == nil {
			maps.Copy(refused, now)
			return wrote, nil
		}
		if !errors.Is(translate(err), ErrConflict) && !isDeadlock(err) {
			return false, err
		}
	}
	return false, err
}

func (i importer) writeOnce(
	ctx context.Context, tx pgx.Tx, batch []document, refused map[string]Refusal,
) (wrote bool, err error) {
	added, changed, err := i.compare(ctx, tx, batch, refused)
	if err != nil {
		return false, err
	}
	if len(changed) > 0 {
		if _, err := tx.Exec(ctx, i.table.replace, i.replaceArgs(changed)); err != nil {
			return false, err
		}
	}
	if len(added) == 0 {
		return len(changed) > 0, nil
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{i.table.name}, i.table.columns,
		pgx.CopyFromSlice(len(added), func(n int) ([]any, error) { return i.row(added[n]), nil }))
	return true, err
}

// compare compares a batch with what is stored. It returns the documents that are new and those that have changed.
func (i importer) compare(
	ctx context.Context, tx pgx.Tx, batch []document, refused map[string]Refusal,
) (added, changed []document, err error) {
	ids, otherIDs, orgIDs, checks := i.transpose(batch)
	rows, _ := tx.Query(ctx, i.table.compare, pgx.StrictNamedArgs{ // ForEachRow returns the error
		"ids": ids, "other_ids": otherIDs, "org_ids": orgIDs, "checked": checks,
		"unknown_organisation": RefusedOrganisation, "other_owner": RefusedOwner, "id_taken": RefusedID,
	})
	var exists, unchanged bool
	var refusal Refusal
	n, taken := 0, make(map[string]string, len(batch)) // the documents of the batch by other ID
	_, err = pgx.ForEachRow(rows, []any{&exists, &unchanged, &refusal}, func() error {
		d := batch[n]
		n++
		if holder := taken[d.otherID]; refusal == "" && holder != "" {
			refusal = RefusedID + Refusal(" ("+holder+")")
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
		taken[d.otherID] = d.id
		return nil
	})
	return added, changed, err
}

// transpose returns what documents are compared by, as columns.
func (i importer) transpose(batch []document) (ids, otherIDs, orgIDs, checks []string) {
	for _, d := range batch {
		ids, otherIDs, orgIDs = append(ids, d.id), append(otherIDs, d.otherID), append(orgIDs, d.orgID)
		checks = append(checks, checked(i.checkedBy, d.digest))
	}
	return ids, otherIDs, orgIDs, checks
}

// replaceArgs returns the arguments of importTable.replace.
func (i importer) replaceArgs(batch []document) pgx.StrictNamedArgs {
	ids, otherIDs, _, checks := i.transpose(batch)
	args := pgx.StrictNamedArgs{"ids": ids, "other_ids": otherIDs, "checked": checks}
	var texts []string
	var derived []*string
	var active []bool
	for _, d := range batch {
		texts, active = append(texts, string(d.text)), append(active, d.active)
		derived = append(derived, nonEmpty(string(d.derived)))
	}
	args["documents"], args["active"], args["derived"] = texts, active, derived
	return args
}
