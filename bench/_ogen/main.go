// Command ogen is the fastest generated Go server: what ogen generates from the contract, with the
// SQL of gatehouse. It decodes documents into structs and so loses what the contract does not
// name; it could not replace gatehouse.
//
// The package api is generated when the benchmark runs (build.go). The leading underscore of the
// directory keeps this program out of ./... until then.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"gatehouse/bench/_ogen/api"
	"gatehouse/bench/alternative"
)

func main() { alternative.Main(newServer) }

type server struct {
	api.UnimplementedHandler

	pool *pgxpool.Pool
}

func newServer(pool *pgxpool.Pool, log *slog.Logger) (http.Handler, error) {
	s := &server{pool: pool}
	onError := func(_ context.Context, w http.ResponseWriter, r *http.Request, err error) {
		log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
	admin, err := api.NewServer(s, s, api.WithErrorHandler(onError))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/admin/", admin)
	mux.HandleFunc("GET /hello", func(http.ResponseWriter, *http.Request) {})
	return mux, nil
}

// HandleAPIKey implements api.SecurityHandler.
func (s *server) HandleAPIKey(ctx context.Context, _ api.OperationName, key api.APIKey) (context.Context, error) {
	if key.APIKey != alternative.AdminSecret {
		return ctx, errors.New("not authorised")
	}
	return ctx, nil
}

// HandleOperatorSession implements api.SecurityHandler. The alternative has no sessions.
func (s *server) HandleOperatorSession(
	ctx context.Context, _ api.OperationName, _ api.OperatorSession,
) (context.Context, error) {
	return ctx, errors.New("not authorised")
}

func response(u alternative.User) api.User {
	return api.User{
		FirstName: u.FirstName, LastName: u.LastName, EmailAddress: u.EmailAddress, OrgID: u.OrgID, Active: u.Active,
		ID: u.ID, AccessKey: u.AccessKey, UserPermissions: u.UserPermissions, GroupID: u.GroupID,
		PasswordMaxDays: u.PasswordMaxDays, PasswordUpdated: alternative.TimeOrZero(u.PasswordUpdated),
		PWHistory: []string{}, LastLoginDate: alternative.TimeOrZero(u.LastLoginDate), CreatedAt: u.CreatedAt.UTC(),
	}
}

// GetUserDetail implements api.Handler.
func (s *server) GetUserDetail(ctx context.Context, params api.GetUserDetailParams) (api.GetUserDetailRes, error) {
	user, err := alternative.GetUser(ctx, s.pool, params.UserId)
	if err != nil {
		return nil, err
	}
	return new(response(user)), nil
}

// AllowResetPassword implements api.Handler.
func (s *server) AllowResetPassword(
	ctx context.Context, params api.AllowResetPasswordParams,
) (api.AllowResetPasswordRes, error) {
	user, err := alternative.AllowResetPassword(ctx, s.pool, params.UserId)
	if err != nil {
		return nil, err
	}
	return &api.UserResponse{Status: api.UserResponseStatusOK, Message: "User updated", Meta: response(user)}, nil
}

// CreateUser implements api.Handler.
func (s *server) CreateUser(ctx context.Context, request api.OptUserRequest) (api.CreateUserRes, error) {
	sent := request.Value
	user, err := alternative.CreateUser(ctx, s.pool, alternative.User{
		OrgID: sent.OrgID.Value, EmailAddress: sent.EmailAddress.Value,
		FirstName: sent.FirstName.Value, LastName: sent.LastName.Value, Active: sent.Active.Value,
		UserPermissions: sent.UserPermissions.Value,
	})
	if err != nil {
		return nil, err
	}
	return &api.UserResponse{Status: api.UserResponseStatusOK, Message: user.AccessKey, Meta: response(user)}, nil
}

// GenerateAuthToken implements api.Handler.
func (s *server) GenerateAuthToken(
	ctx context.Context, request api.OptSSOAccessData,
) (api.GenerateAuthTokenRes, error) {
	sent := request.Value
	document, err := sent.MarshalJSON()
	if err != nil {
		return nil, err
	}
	nonce, err := alternative.CreateNonce(ctx, s.pool, alternative.Nonce{
		OrgID: sent.OrgID.Value, EmailAddress: sent.EmailAddress.Value, Document: document,
	})
	if err != nil {
		return nil, err
	}
	return &api.NonceResponse{Status: api.NonceResponseStatusOK, Message: "SSO Nonce created", Meta: nonce}, nil
}

// GetOrg implements api.Handler.
func (s *server) GetOrg(ctx context.Context, params api.GetOrgParams) (api.GetOrgRes, error) {
	document, err := alternative.GetOrganisation(ctx, s.pool, params.OrgID)
	if err != nil {
		return nil, err
	}
	org := &api.OrganisationDocument{}
	return org, org.UnmarshalJSON(document)
}
