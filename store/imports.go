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

// importing is how documents of one kind are imported. New ones are copied into the table, which is what Postgres does
// fastest; those that are there and differ are replaced, and those that are there as they are stay untouched: no gateway is
// told of them.
type importing struct {
	table   string
	columns []string // to copy
	// judge tells of each document, in their order, whether its id is there, whether all of it is, and why it is refused,
	// "" for not.
	judge   string
	replace string
}

// importAll writes the items batch by batch, in one transaction; while Postgres has one batch, the next is gathered. A
// connection is taken when the first batch is there; an item need be good only until the next one is asked for.
func importAll[T any](ctx context.Context, s *Store, kind importing, checkedBy string, items iter.Seq2[T, error],
	add func(*batch, T),
) (map[string]Refusal, error) {
	next, stop := iter.Pull2(items)
	defer stop()
	fill := func(b *batch) error {
		for b.clear(); !b.full(); {
			item, err, more := next()
			if err != nil || !more {
				return err
			}
			add(b, item)
		}
		return nil
	}
	now, later := newBatch(checkedBy), newBatch(checkedBy)
	if err := fill(now); err != nil || len(now.documents) == 0 {
		return nil, err
	}
	refused := map[string]Refusal{}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := kind.begin(ctx, tx); err != nil {
			return err
		}
		for len(now.documents) > 0 {
			written := make(chan error, 1)
			go func() { written <- kind.write(ctx, tx, now, refused) }()
			gathered := fill(later)
			if err := <-written; err != nil {
				return err
			}
			if gathered != nil {
				return gathered
			}
			now, later = later, now
		}
		return nil
	})
	return refused, translate(err)
}

// begin says that documents are checked, for the schema forgets the check of those that anybody else writes (migration
// 002), and waits for another import of the kind: nobody else makes rows, so that what judge says holds. Its plan may have
// been made for a table that was empty, and must do for one that fills while it is used: judge and replace are written so
// that ids can only be looked up, if the table is not to be read from end to end.
func (kind importing) begin(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT set_config('gatehouse.checked', 'on', true),
		set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true),
		pg_advisory_xact_lock(hashtextextended($1, 0))`, kind.table)
	return err
}

func (kind importing) write(ctx context.Context, tx pgx.Tx, b *batch, refused map[string]Refusal) error {
	fresh, known, err := kind.sort(ctx, tx, b, refused)
	if err != nil {
		return err
	}
	if len(known) > 0 {
		if _, err := tx.Exec(ctx, kind.replace, kind.replacing(known, b.checkedBy)); err != nil {
			return err
		}
	}
	return b.copyTo(ctx, tx, kind, fresh)
}

// sort has Postgres judge a batch: what is new, what replaces something, and what is refused.
func (kind importing) sort(ctx context.Context, tx pgx.Tx, b *batch, refused map[string]Refusal) (fresh, known []document, err error) {
	ids, others, orgIDs, digests := columns(b.documents)
	rows, _ := tx.Query(ctx, kind.judge, pgx.StrictNamedArgs{
		"ids": ids, "others": others, "org_ids": orgIDs, "digests": digests, "checked_by": b.checkedBy,
		"organisation": RefusedOrganisation, "owner": RefusedOwner, "id": RefusedID,
	})
	var there, same bool
	var why Refusal
	i, taken := 0, make(map[string]bool, len(b.documents))
	_, err = pgx.ForEachRow(rows, []any{&there, &same, &why}, func() error {
		d := b.documents[i]
		i++
		if why == "" && taken[d.other] {
			why = RefusedID
		}
		taken[d.other] = taken[d.other] || why == ""
		switch {
		case why != "":
			refused[d.id] = why
		case same:
		case there:
			known = append(known, d)
		default:
			fresh = append(fresh, d)
		}
		return nil
	})
	return fresh, known, err
}

func columns(documents []document) (ids, others, orgIDs []string, digests [][]byte) {
	for _, d := range documents {
		ids, others, orgIDs, digests = append(ids, d.id), append(others, d.other), append(orgIDs, d.orgID), append(digests, d.digest)
	}
	return ids, others, orgIDs, digests
}

// replacing are the arguments of replace.
func (kind importing) replacing(documents []document, checkedBy string) pgx.StrictNamedArgs {
	ids, others, _, digests := columns(documents)
	args := pgx.StrictNamedArgs{"ids": ids, "others": others, "digests": digests, "checked_by": checkedBy}
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
