package store

import (
	"context"
	"iter"

	"github.com/jackc/pgx/v5"
)

// Refusal says why a document was not imported.
type Refusal string

// The reasons of an import's refusals.
const (
	RefusedOrganisation Refusal = "unknown organisation"
	RefusedOwner        Refusal = "the id belongs to another organisation"
	RefusedID           Refusal = "the id is another document's"
)

const (
	// batchRows and batchBytes bound what one statement writes: past a few hundred rows the round trip no longer counts
	// (facts performance), and a batch is in memory.
	batchRows  = 250
	batchBytes = 1 << 20
)

// importing is how documents of one kind are imported. New ones are copied into the table, which is what Postgres does
// fastest; those that are there are replaced.
type importing struct {
	table   string
	columns []string // to copy
	// judge tells of each document, in their order, whether it is there and why it is refused, "" for not.
	judge   string
	replace string
}

// document is one that is imported.
type document struct {
	id, other, orgID string
	active           *bool // nil: the table does not have it
	text             []byte
}

// batch is what is written at once.
type batch struct {
	documents []document
	texts     []byte // the documents' texts, one after another
}

// add adds a document, whose text need be good only until add returns.
func (b *batch) add(d document) {
	start := len(b.texts)
	b.texts = append(b.texts, d.text...)
	d.text = b.texts[start:len(b.texts):len(b.texts)] // good also when texts grows and moves
	b.documents = append(b.documents, d)
}

func (b *batch) full() bool { return len(b.documents) >= batchRows || len(b.texts) >= batchBytes }

func (b *batch) clear() { b.documents, b.texts = b.documents[:0], b.texts[:0] }

// importAll writes the items batch by batch, in one transaction. A connection is taken when the first batch is there; an
// item need be good only until the next one is asked for.
func importAll[T any](ctx context.Context, s *Store, kind importing, checkedBy string, items iter.Seq2[T, error],
	add func(*batch, T),
) (map[string]Refusal, error) {
	next, stop := iter.Pull2(items)
	defer stop()
	b := &batch{}
	fill := func() error {
		for b.clear(); !b.full(); {
			item, err, more := next()
			if err != nil || !more {
				return err
			}
			add(b, item)
		}
		return nil
	}
	if err := fill(); err != nil || len(b.documents) == 0 {
		return nil, err
	}
	refused := map[string]Refusal{}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := kind.begin(ctx, tx); err != nil {
			return err
		}
		for len(b.documents) > 0 {
			if err := kind.write(ctx, tx, checkedBy, b, refused); err != nil {
				return err
			}
			if err := fill(); err != nil {
				return err
			}
		}
		return nil
	})
	return refused, translate(err)
}

// begin says that documents are checked, for the schema forgets the check of those that anybody else writes (migration
// 002), and waits for another import of the kind: nobody else makes rows, so that what judge says holds.
func (kind importing) begin(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('gatehouse.checked', 'on', true), pg_advisory_xact_lock(hashtextextended($1, 0))`, kind.table)
	return err
}

func (kind importing) write(ctx context.Context, tx pgx.Tx, checkedBy string, b *batch, refused map[string]Refusal) error {
	fresh, known, err := kind.sort(ctx, tx, b, refused)
	if err != nil {
		return err
	}
	if len(known) > 0 {
		if _, err := tx.Exec(ctx, kind.replace, kind.replacing(known, checkedBy)); err != nil {
			return err
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	row := make([]any, 0, len(kind.columns))
	_, err = tx.CopyFrom(ctx, pgx.Identifier{kind.table}, kind.columns, pgx.CopyFromSlice(len(fresh), func(i int) ([]any, error) {
		d := fresh[i]
		row = append(row[:0], d.id, d.other, d.orgID)
		if d.active != nil {
			row = append(row, *d.active)
		}
		row = append(row, d.text, true, checkedBy)
		return row, nil
	}))
	return err
}

// sort has Postgres judge a batch: what is new, what is there, and what is refused.
func (kind importing) sort(ctx context.Context, tx pgx.Tx, b *batch, refused map[string]Refusal) (fresh, known []document, err error) {
	ids, others, orgIDs := columns(b.documents)
	rows, _ := tx.Query(ctx, kind.judge, pgx.StrictNamedArgs{
		"ids": ids, "others": others, "org_ids": orgIDs,
		"organisation": RefusedOrganisation, "owner": RefusedOwner, "id": RefusedID,
	})
	var there bool
	var why Refusal
	i := 0
	_, err = pgx.ForEachRow(rows, []any{&there, &why}, func() error {
		d := b.documents[i]
		switch i++; {
		case why != "":
			refused[d.id] = why
		case there:
			known = append(known, d)
		default:
			fresh = append(fresh, d)
		}
		return nil
	})
	return fresh, known, err
}

func columns(documents []document) (ids, others, orgIDs []string) {
	for _, d := range documents {
		ids, others, orgIDs = append(ids, d.id), append(others, d.other), append(orgIDs, d.orgID)
	}
	return ids, others, orgIDs
}

// replacing are the arguments of replace.
func (kind importing) replacing(documents []document, checkedBy string) pgx.StrictNamedArgs {
	ids, others, _ := columns(documents)
	args := pgx.StrictNamedArgs{"ids": ids, "others": others, "checked_by": checkedBy}
	texts := make([]string, 0, len(documents))
	var active []bool
	for _, d := range documents {
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
