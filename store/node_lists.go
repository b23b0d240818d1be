package store

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Gateways (nodes) get lists of all documents, but a gateway rejects the whole list if it cannot decode one of them. So
// each document is checked once, and the result is stored: loadable, and the name of the check in checked_by. What
// writes a document without a check resets checked_by (002_nodes.sql).

// NodeDocument is a document of a list for gateways. It is valid until the next one is requested.
type NodeDocument struct {
	ID       string
	Document json.RawMessage
	// Unchecked reports whether the document has yet to be checked.
	Unchecked bool
	// version is the version of the row, which every change of the row changes.
	version string
}

// CheckResult is the result of the check of a document.
type CheckResult struct {
	Document NodeDocument
	// Loadable reports whether gateways can decode the document.
	Loadable bool
}

// NodeAPIs lists the active APIs of all organisations, oldest first. It leaves out those that the check called
// checkedBy has found not to be loadable.
func (s *Store) NodeAPIs(ctx context.Context, checkedBy string) iter.Seq2[NodeDocument, error] {
	return streamNodeDocuments(ctx, s.pool, query{
		"list APIs for gateways", `
		SELECT api_id, document, checked_by IS DISTINCT FROM @by, xmin::text FROM apis
		WHERE active AND (loadable OR checked_by IS DISTINCT FROM @by) ORDER BY position`,
		pgx.StrictNamedArgs{"by": checkedBy},
	})
}

// NodePolicies lists the policies of all organisations, as NodeAPIs lists APIs.
func (s *Store) NodePolicies(ctx context.Context, checkedBy string) iter.Seq2[NodeDocument, error] {
	return streamNodeDocuments(ctx, s.pool, query{
		"list policies for gateways", `
		SELECT id, document, checked_by IS DISTINCT FROM @by, xmin::text FROM policies
		WHERE loadable OR checked_by IS DISTINCT FROM @by ORDER BY position`,
		pgx.StrictNamedArgs{"by": checkedBy},
	})
}

func streamNodeDocuments(ctx context.Context, db querier, q query) iter.Seq2[NodeDocument, error] {
	return stream(ctx, db, q, func(rows pgx.Rows, doc *NodeDocument) error {
		return rows.Scan(&doc.ID, (*pgtype.DriverBytes)(&doc.Document), &doc.Unchecked, &doc.version)
	})
}

// SaveAPIChecks stores the results of the check called checkedBy. A document that has changed since it was listed stays
// unchecked.
func (s *Store) SaveAPIChecks(ctx context.Context, checkedBy string, results []CheckResult) (err error) {
	defer wrap("save checks of APIs", &err)
	return s.saveChecks(ctx, `
		UPDATE apis SET loadable = result.loadable, checked_by = @by FROM result
		WHERE apis.api_id = result.id AND apis.xmin::text = result.version AND apis.api_id = ANY (@ids)`,
		checkedBy, results)
}

// SavePolicyChecks stores the results of a check of policies, as SaveAPIChecks does for APIs.
func (s *Store) SavePolicyChecks(ctx context.Context, checkedBy string, results []CheckResult) (err error) {
	defer wrap("save checks of policies", &err)
	return s.saveChecks(ctx, `
		UPDATE policies SET loadable = result.loadable, checked_by = @by FROM result
		WHERE policies.id = result.id AND policies.xmin::text = result.version AND policies.id = ANY (@ids)`,
		checkedBy, results)
}

func (s *Store) saveChecks(ctx context.Context, update, checkedBy string, results []CheckResult) error {
	var ids, versions []string
	var loadable []bool
	for _, r := range results {
		ids, versions = append(ids, r.Document.ID), append(versions, r.Document.version)
		loadable = append(loadable, r.Loadable)
	}
	return s.inTx(ctx, func(tx pgx.Tx) error { // servers that save the same results at once may deadlock
		_, err := tx.Exec(ctx, `
			WITH result AS (
				SELECT * FROM unnest(@ids::text[], @versions::text[], @loadable::boolean[])
					AS result (id, version, loadable)
			)`+update, pgx.StrictNamedArgs{"ids": ids, "versions": versions, "loadable": loadable, "by": checkedBy})
		return err
	})
}
