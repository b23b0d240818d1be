package main

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/bench/_ogen/api"
)

// GetOrgs implements api.Handler.
func (s *server) GetOrgs(ctx context.Context, _ api.GetOrgsParams) (api.GetOrgsRes, error) {
	const sql = `SELECT document FROM organisations ORDER BY position`
	list, err := collect[api.OrganisationDocument](ctx, s.pool, sql)
	if err != nil {
		return nil, err
	}
	return &api.ApiRegister{Organisations: list}, nil
}

// ExportAPIs implements api.Handler.
func (s *server) ExportAPIs(ctx context.Context, _ api.ExportAPIsParams) (api.ExportAPIsRes, error) {
	list, err := collect[api.ApiDefinition](ctx, s.pool, `SELECT document FROM apis ORDER BY position`)
	if err != nil {
		return nil, err
	}
	return &api.ApiDefinitions{Apis: api.NewOptNilApiDefinitionArray(list), Pages: api.NewOptInt(0)}, nil
}

// collect decodes the documents that a statement selects.
func collect[T any, P interface {
	*T
	json.Unmarshaler
}](ctx context.Context, pool *pgxpool.Pool, sql string) ([]T, error) {
	rows, _ := pool.Query(ctx, sql) // CollectRows returns the error of Query
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) {
		var v T
		return v, P(&v).UnmarshalJSON(row.RawValues()[0])
	})
}

const (
	// batchSize is the number of documents that one statement stores.
	batchSize = 250

	upsertAPIs = `
		INSERT INTO apis (api_id, id, org_id, active, document)
		SELECT api_id, id, org_id, active, document::json
		FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[])
			AS input (api_id, id, org_id, active, document)
		ON CONFLICT (api_id) DO UPDATE SET id = excluded.id, active = excluded.active, document = excluded.document
			WHERE apis.org_id = excluded.org_id`
)

// ImportAPIs implements api.Handler.
func (s *server) ImportAPIs(ctx context.Context, request api.OptApiDefinitions) (api.ImportAPIsRes, error) {
	list := request.Value.Apis.Value
	imported := make(api.ImportResponseMeta, len(list))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for start := 0; start < len(list); start += batchSize {
			if err := upsert(ctx, tx, list[start:min(start+batchSize, len(list))], imported); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &api.ImportResponse{Status: api.ImportResponseStatusOK, Message: "APIs imported", Meta: imported}, nil
}

// upsert stores a batch of documents and adds their IDs to imported.
func upsert(ctx context.Context, tx pgx.Tx, batch []api.ApiDefinition, imported api.ImportResponseMeta) error {
	var apiIDs, ids, orgIDs, documents []string
	var active []bool
	for i := range batch {
		d := &batch[i].APIDefinition.Value
		document, err := batch[i].MarshalJSON()
		if err != nil {
			return err
		}
		apiIDs, ids, orgIDs = append(apiIDs, d.APIID.Value), append(ids, d.ID.Value), append(orgIDs, d.OrgID.Value)
		active, documents = append(active, d.Active.Value), append(documents, string(document))
		imported[d.APIID.Value] = true
	}
	_, err := tx.Exec(ctx, upsertAPIs, apiIDs, ids, orgIDs, active, documents)
	return err
}
