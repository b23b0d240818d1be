package store

import (
	"context"
	"encoding/json"
	"iter"
	"maps"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Gateways (nodes) get lists of all documents, but a gateway rejects the whole list if it cannot decode one of them. So
// each document is checked once, and the result is stored with the digest of the document in the column checked
// (migrations/012_notices.sql). What another program writes is checked when it is announced.

// NodeDocument is a document of a list for gateways. It is valid until the next one is requested.
type NodeDocument struct {
	ID       string
	Document json.RawMessage
	// Unchecked reports whether the document has yet to be checked.
	Unchecked bool
	// Position is where in its list the document is; only of NodeSnapshot.Documents.
	Position int64
	// digest is that of a document that has yet to be checked.
	digest digest
}

// CheckResult is the result of the check of a document.
type CheckResult struct {
	Document NodeDocument
	// Loadable reports whether gateways can decode the document.
	Loadable bool
	// Served is what gateways are given in place of a policy's document; nil if that is the document.
	Served json.RawMessage
}

// NodeAPIs lists the active APIs of all organisations, oldest first. It leaves out those that the check called
// checkedBy has found not to be loadable.
func (s *Store) NodeAPIs(ctx context.Context, checkedBy string) iter.Seq2[NodeDocument, error] {
	return nodeAPIs(checkedBy).rows(ctx, s.pool)
}

// NodePolicies lists the policies of all organisations, as NodeAPIs lists APIs. Of a policy that has been checked, it
// has what gateways are given.
func (s *Store) NodePolicies(ctx context.Context, checkedBy string) iter.Seq2[NodeDocument, error] {
	return nodePolicies(checkedBy).rows(ctx, s.pool)
}

func nodeAPIs(checkedBy string) listQuery[NodeDocument] {
	return listQuery[NodeDocument]{
		operation: "list APIs for gateways", columns: `api_id, document` + nodeDocumentColumns, table: `apis`,
		where: conditions{`active`, loadableByNodes}, args: checkArgs(checkedBy), scan: scanNodeDocument,
	}
}

func nodePolicies(checkedBy string) listQuery[NodeDocument] {
	return listQuery[NodeDocument]{
		operation: "list policies for gateways", table: `policies`,
		columns: `id, CASE WHEN ` + unchecked + ` THEN document ELSE coalesce(served, document) END` + nodeDocumentColumns,
		where:   conditions{loadableByNodes}, args: checkArgs(checkedBy), scan: scanNodeDocument,
	}
}

// NodeRow is a version of a row of a list for gateways.
type NodeRow struct {
	Position int64
	// Version is the transaction that has written the row (xmin): another one if the row has changed.
	Version uint32
	// Size is how many bytes the document has. Of one that an earlier release has stored, it is how many it occupies as
	// Postgres compresses it.
	Size int
}

// NodeSnapshot is a list for gateways at one time. It is valid until the call ends that it is given to.
type NodeSnapshot struct {
	ctx   context.Context //nolint:containedctx // that of the call
	query listQuery[NodeDocument]
	tx    pgx.Tx
	// Rows are all rows of the list.
	Rows []NodeRow
}

// ReadNodeAPIs calls read with the list that NodeAPIs returns, as it is at one time. It may call read twice, if the
// connection breaks.
func (s *Store) ReadNodeAPIs(ctx context.Context, checkedBy string, read func(NodeSnapshot) error) error {
	return s.readSnapshot(ctx, nodeAPIs(checkedBy), read)
}

// ReadNodePolicies calls read with the list that NodePolicies returns, as ReadNodeAPIs does.
func (s *Store) ReadNodePolicies(ctx context.Context, checkedBy string, read func(NodeSnapshot) error) error {
	return s.readSnapshot(ctx, nodePolicies(checkedBy), read)
}

func (s *Store) readSnapshot(
	ctx context.Context, query listQuery[NodeDocument], read func(NodeSnapshot) error,
) (err error) {
	defer wrap(query.operation, &err)
	ctx = mayTakeLong(ctx)
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return s.pool.repeat(ctx, true, func() error {
		return s.pool.beginWith(ctx, snapshot, func(tx pgx.Tx) error {
			rows, err := queryRows[NodeRow](ctx, tx, `
				SELECT position, xmin::text::bigint AS version, coalesce(size, pg_column_size(document)) AS size
				FROM `+query.table+query.where.sql()+` ORDER BY position`,
				pgx.NamedArgs(query.args)) // some are of the columns
			if err != nil {
				return err
			}
			return read(NodeSnapshot{ctx, query, tx, rows})
		})
	})
}

// Documents lists the documents of the rows from one position up to another one.
func (n NodeSnapshot) Documents(first, last int64) iter.Seq2[NodeDocument, error] {
	return func(yield func(NodeDocument, error) bool) {
		args := maps.Clone(n.query.args)
		args["first"], args["last"] = first, last
		where := append(conditions{`position BETWEEN @first AND @last`}, n.query.where...)
		rows, err := n.tx.Query(n.ctx, `SELECT `+n.query.columns+`, position, position AS last_position
			FROM `+n.query.table+where.sql()+` ORDER BY position`, args)
		if err != nil {
			yield(NodeDocument{}, err)
			return
		}
		defer rows.Close()
		var memory chunkMemory
		for rows.Next() {
			var at place
			memory.text = memory.text[:0]
			doc, err := n.query.scan(rows, &memory, &at)
			doc.Position = at.Position
			if !yield(doc, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(NodeDocument{}, err)
		}
	}
}

const (
	// nodeDocumentColumns has, behind the ID and the document, a column for each field of NodeDocument.
	nodeDocumentColumns = `, ` + unchecked
	// unchecked is whether the check has not seen the document, and loadableByNodes whether it has not refused it.
	unchecked       = `coalesce(NOT starts_with(ltrim(checked, '` + refusedMark + `'), @passed), true)`
	loadableByNodes = `coalesce(NOT starts_with(checked, @refused), true)`
)

// checkArgs returns the arguments of the conditions about a check.
func checkArgs(checkedBy string) pgx.StrictNamedArgs {
	passed := checkedPrefix(checkedBy)
	return pgx.StrictNamedArgs{"passed": passed, "refused": refusedMark + passed}
}

func scanNodeDocument(row pgx.Rows, memory *chunkMemory, at *place) (doc NodeDocument, err error) {
	var document pgtype.DriverBytes
	err = row.Scan(&doc.ID, &document, &doc.Unchecked, &at.Position, &at.LastPosition)
	doc.Document = memory.clone(document)
	if doc.Unchecked {
		doc.digest = digestOf(document)
	}
	return doc, err
}

// SaveAPIChecks stores the results of the check called checkedBy. A document that has changed since it was listed stays
// unchecked, and so does one whose row another transaction holds, such as an import: it is checked with the next list.
func (s *Store) SaveAPIChecks(ctx context.Context, checkedBy string, results []CheckResult) (err error) {
	defer wrap("save checks of APIs", &err)
	table := checkedTable{"apis", "api_id", `search = coalesce(search, api_search(document))`}
	return s.saveChecks(ctx, table, checkedBy, results)
}

// SavePolicyChecks stores the results of a check of policies, as SaveAPIChecks does for APIs.
func (s *Store) SavePolicyChecks(ctx context.Context, checkedBy string, results []CheckResult) (err error) {
	defer wrap("save checks of policies", &err)
	table := checkedTable{
		"policies", "id", `served = result.served::json, active = coalesce(active, policy_active(document))`,
	}
	return s.saveChecks(ctx, table, checkedBy, results)
}

// checkedTable is a table whose documents are checked.
type checkedTable struct {
	name, id string
	derived  string // assigns what is derived from a document
}

// saveChecks stores the results of checks. It waits for no row: a gateway waits for the end of its list meanwhile.
func (s *Store) saveChecks(ctx context.Context, table checkedTable, checkedBy string, results []CheckResult) error {
	ctx = mayTakeLong(ctx) // it may write each row
	var ids, checks []string
	var digests [][]byte
	var served []*string
	for _, r := range results {
		value := checked(checkedBy, r.Document.digest)
		if !r.Loadable {
			value = refusedBy(checkedBy, r.Document.digest)
		}
		ids, checks, digests = append(ids, r.Document.ID), append(checks, value), append(digests, r.Document.digest[:])
		served = append(served, nonEmpty(string(r.Served)))
	}
	key := table.name + `.` + table.id
	// The subquery is an array, because Postgres plans a prepared statement for 10 IDs: it would join 20,000 rows of the
	// subquery with as many results in nested loops.
	return s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			WITH result AS (
				SELECT * FROM unnest(@ids::text[], @digests::bytea[], @checked::text[], @served::text[])
					AS result (id, digest, checked, served)
			)
			UPDATE `+table.name+` SET checked = result.checked, `+table.derived+`
			FROM result
			WHERE `+key+` = result.id AND `+key+` = ANY (ARRAY(
					SELECT `+key+` FROM `+table.name+` WHERE `+key+` = ANY (@ids) FOR NO KEY UPDATE SKIP LOCKED))
				AND sha256(convert_to(document::text, 'UTF8')) = result.digest`,
			pgx.StrictNamedArgs{"ids": ids, "digests": digests, "checked": checks, "served": served})
		return err
	})
}
