package store

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// NodeDocument is a document on its way to a gateway, good until the next one is asked for.
type NodeDocument struct {
	ID       string
	Document json.RawMessage
	// Unchecked: nobody knows yet whether a gateway can decode the document.
	Unchecked bool
	// version tells the row from what it becomes when it is changed.
	version string
}

// CheckResult says whether a gateway can decode a document that was unchecked.
type CheckResult struct {
	Document NodeDocument
	Loadable bool
}

// NodeAPIs lists the active APIs of every organisation, oldest first, without those that the check called checkedBy has
// found to be not loadable.
func (s *Store) NodeAPIs(ctx context.Context, checkedBy string) iter.Seq2[NodeDocument, error] {
	return s.checked(ctx, `SELECT api_id, document, checked_by IS DISTINCT FROM @by, xmin::text FROM apis
		WHERE active AND (loadable OR checked_by IS DISTINCT FROM @by) ORDER BY position`, checkedBy)
}

// NodePolicies lists the policies of every organisation, as NodeAPIs does the APIs.
func (s *Store) NodePolicies(ctx context.Context, checkedBy string) iter.Seq2[NodeDocument, error] {
	return s.checked(ctx, `SELECT id, document, checked_by IS DISTINCT FROM @by, xmin::text FROM policies
		WHERE loadable OR checked_by IS DISTINCT FROM @by ORDER BY position`, checkedBy)
}

func (s *Store) checked(ctx context.Context, sql, checkedBy string) iter.Seq2[NodeDocument, error] {
	return stream(ctx, s, sql, pgx.StrictNamedArgs{"by": checkedBy}, func(rows pgx.Rows, doc *NodeDocument) error {
		return rows.Scan(&doc.ID, (*pgtype.DriverBytes)(&doc.Document), &doc.Unchecked, &doc.version)
	})
}

// SaveAPIChecks notes what the check called checkedBy has found. A document that was changed meanwhile stays unchecked.
func (s *Store) SaveAPIChecks(ctx context.Context, checkedBy string, results []CheckResult) error {
	return s.saveChecks(ctx, `UPDATE apis SET loadable = found.loadable, checked_by = @by FROM found
		WHERE apis.api_id = found.id AND apis.xmin::text = found.version`, checkedBy, results)
}

// SavePolicyChecks does for policies what SaveAPIChecks does for APIs.
func (s *Store) SavePolicyChecks(ctx context.Context, checkedBy string, results []CheckResult) error {
	return s.saveChecks(ctx, `UPDATE policies SET loadable = found.loadable, checked_by = @by FROM found
		WHERE policies.id = found.id AND policies.xmin::text = found.version`, checkedBy, results)
}

func (s *Store) saveChecks(ctx context.Context, sql, checkedBy string, results []CheckResult) error {
	var ids, versions []string
	var loadable []bool
	for _, v := range results {
		ids, versions, loadable = append(ids, v.Document.ID), append(versions, v.Document.version), append(loadable, v.Loadable)
	}
	_, err := s.pool.Exec(ctx, `WITH found AS (
			SELECT * FROM unnest(@ids::text[], @versions::text[], @loadable::boolean[]) AS found (id, version, loadable)
		) `+sql, pgx.StrictNamedArgs{"ids": ids, "versions": versions, "loadable": loadable, "by": checkedBy})
	return translate(err)
}
