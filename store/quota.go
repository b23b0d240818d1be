package store

import "context"

// Quota limits what an organisation stores, so that it does not fill the database, and the gateways that load the APIs
// and policies of all organisations. It holds for APIs, for policies, and for other documents, each on their own. What
// the admin API imports counts, and is not limited.
type Quota struct {
	// Documents is the number of documents, and Bytes their size in all. 0 is no limit.
	Documents int
	Bytes     int64
}

// check returns ErrQuota if an organisation stores more in a table than it may. It runs after a document was written;
// requests at the same time may exceed the quota by one document each.
func (q Quota) check(ctx context.Context, db querier, table, orgID string) error {
	return q.checkMore(ctx, db, table, organisationUse{orgID: orgID})
}

// organisationUse is what an organisation stores besides what is in a table.
type organisationUse struct {
	orgID string
	more  Quota
}

// checkMore returns ErrQuota if an organisation would store more than it may.
func (q Quota) checkMore(ctx context.Context, db querier, table string, use organisationUse) error {
	if q == (Quota{}) {
		return nil
	}
	used, err := queryRow[struct {
		Documents int
		Bytes     int64
	}](ctx, db, `
		SELECT count(*) AS documents, coalesce(sum(coalesce(size, pg_column_size(document))), 0)::bigint AS bytes
		FROM `+table+` WHERE org_id = $1`, use.orgID)
	used.Documents, used.Bytes = used.Documents+use.more.Documents, used.Bytes+use.more.Bytes
	if err == nil && (q.Documents > 0 && used.Documents > q.Documents || q.Bytes > 0 && used.Bytes > q.Bytes) {
		err = ErrQuota
	}
	return err
}
