package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-faster/jx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/bench/ogen"
	"gatehouse/store"
)

// ogenServer is what ogen generates from the contract, on gatehouse's own SQL. It decodes documents into structs, and so
// loses what the contract does not name: it could not be used as it is.
type ogenServer struct {
	ogen.UnimplementedHandler
	pool *pgxpool.Pool
	ids  store.IDs
}

// upsertBatch is how many documents one statement writes, as in store/.
const upsertBatch = 250

func newOgen(pool *pgxpool.Pool, log io.Writer) (http.Handler, error) {
	s := &ogenServer{pool: pool, ids: store.NewIDs(time.Now)}
	logger := slog.New(slog.NewTextHandler(log, nil))
	admin, err := ogen.NewServer(s, s, ogen.WithErrorHandler(func(_ context.Context, w http.ResponseWriter, r *http.Request, err error) {
		logger.Error("failed", "method", r.Method, "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/", admin)
	mux.HandleFunc("GET /hello", func(http.ResponseWriter, *http.Request) {})
	return mux, nil
}

// HandleAPIKey implements ogen.SecurityHandler.
func (s *ogenServer) HandleAPIKey(ctx context.Context, _ ogen.OperationName, key ogen.APIKey) (context.Context, error) {
	if key.APIKey != adminSecret {
		return ctx, errors.New("not authorised")
	}
	return ctx, nil
}

func ogenUser(u store.User) ogen.User {
	return ogen.User{
		FirstName: u.FirstName, LastName: u.LastName, EmailAddress: u.EmailAddress, OrgID: u.OrgID, Active: u.Active,
		ID: u.ID, AccessKey: u.AccessKey, UserPermissions: u.UserPermissions, GroupID: u.GroupID,
		PasswordMaxDays: u.PasswordMaxDays, PasswordUpdated: or(u.PasswordUpdated), PWHistory: []string{},
		LastLoginDate: or(u.LastLoginDate), CreatedAt: u.CreatedAt.UTC(),
	}
}

// GetUserDetail implements ogen.Handler.
func (s *ogenServer) GetUserDetail(ctx context.Context, params ogen.GetUserDetailParams) (ogen.GetUserDetailRes, error) {
	user, err := oneUser(ctx, s.pool, selectUser, params.UserId)
	shown := ogenUser(user)
	return &shown, err
}

// AllowResetPassword implements ogen.Handler.
func (s *ogenServer) AllowResetPassword(ctx context.Context, params ogen.AllowResetPasswordParams) (ogen.AllowResetPasswordRes, error) {
	user, err := oneUser(ctx, s.pool, setResetPassword, params.UserId, true)
	return &ogen.UserResponse{Status: ogen.UserResponseStatusOK, Message: "User updated", Meta: ogenUser(user)}, err
}

// CreateUser implements ogen.Handler.
func (s *ogenServer) CreateUser(ctx context.Context, sent ogen.OptUserRequest) (ogen.CreateUserRes, error) {
	u := sent.Value
	user, err := oneUser(ctx, s.pool, insertUser, s.ids.Object(), u.OrgID.Value, u.EmailAddress.Value,
		strings.ToLower(u.EmailAddress.Value),
		u.FirstName.Value, u.LastName.Value, u.Active.Value, s.ids.Key(), map[string]string(u.UserPermissions.Value), "", 0, time.Now())
	return &ogen.UserResponse{Status: ogen.UserResponseStatusOK, Message: user.AccessKey, Meta: ogenUser(user)}, err
}

// GenerateAuthToken implements ogen.Handler.
func (s *ogenServer) GenerateAuthToken(ctx context.Context, sent ogen.OptSSOAccessData) (ogen.GenerateAuthTokenRes, error) {
	document, err := sent.Value.MarshalJSON()
	if err != nil {
		return nil, err
	}
	nonce, err := createNonce(ctx, s.pool, s.ids, sent.Value.OrgID.Value, sent.Value.EmailAddress.Value, document)
	return &ogen.GenerateAuthTokenOK{Status: ogen.ApiErrorStatusOK, Message: "SSO Nonce created", Meta: jx.Raw(`"` + nonce + `"`)}, err
}

// GetOrg implements ogen.Handler.
func (s *ogenServer) GetOrg(ctx context.Context, params ogen.GetOrgParams) (ogen.GetOrgRes, error) {
	row, err := oneOrganisation(ctx, s.pool, selectOrganisation, params.OrgID)
	if err != nil {
		return nil, err
	}
	org := &ogen.OrganisationDocument{}
	return org, org.UnmarshalJSON(row.Document)
}

// GetOrgs implements ogen.Handler.
func (s *ogenServer) GetOrgs(ctx context.Context, _ ogen.GetOrgsParams) (ogen.GetOrgsRes, error) {
	list, err := decodeAll[ogen.OrganisationDocument](ctx, s.pool, `SELECT document FROM organisations ORDER BY position`)
	return &ogen.ApiRegister{Organisations: list}, err
}

// ExportAPIs implements ogen.Handler.
func (s *ogenServer) ExportAPIs(ctx context.Context, _ ogen.ExportAPIsParams) (ogen.ExportAPIsRes, error) {
	list, err := decodeAll[ogen.ApiDefinition](ctx, s.pool, `SELECT document FROM apis ORDER BY position`)
	return &ogen.ApiDefinitions{Apis: ogen.NewOptNilApiDefinitionArray(list), Pages: ogen.NewOptInt(0)}, err
}

// decodeAll decodes all rows of a query.
func decodeAll[T any, P interface {
	*T
	json.Unmarshaler
}](ctx context.Context, pool *pgxpool.Pool, sql string) ([]T, error) {
	rows, _ := pool.Query(ctx, sql)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) {
		var v T
		return v, P(&v).UnmarshalJSON(row.RawValues()[0])
	})
}

// ImportAPIs implements ogen.Handler.
func (s *ogenServer) ImportAPIs(ctx context.Context, sent ogen.OptApiDefinitions) (ogen.ImportAPIsRes, error) {
	list := sent.Value.Apis.Value
	there := make(ogen.ImportResponseMeta, len(list))
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for start := 0; start < len(list); start += upsertBatch {
			if err := upsert(ctx, tx, list[start:min(start+upsertBatch, len(list))], there); err != nil {
				return err
			}
		}
		return nil
	})
	return &ogen.ImportResponse{Status: ogen.ImportResponseStatusOK, Message: "APIs imported", Meta: there}, err
}

func upsert(ctx context.Context, tx pgx.Tx, batch []ogen.ApiDefinition, there ogen.ImportResponseMeta) error {
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
		there[d.APIID.Value] = true
	}
	_, err := tx.Exec(ctx, upsertAPIs, apiIDs, ids, orgIDs, active, documents)
	return err
}
