package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"gatehouse/gen/admin"
	"gatehouse/store"
)

// stockServer is what one writes first with this toolchain: Echo, kin-openapi's filter behind its own router, Bind into
// typed structs, jsonb, a row a statement, lists collected and encoded whole.
type stockServer struct {
	pool *pgxpool.Pool
	ids  store.IDs
}

func newStock(pool *pgxpool.Pool, log io.Writer) (http.Handler, error) {
	spec, err := admin.GetSpec()
	if err != nil {
		return nil, err
	}
	spec.Servers = nil // gorillamux would compare hosts
	router, err := gorillamux.NewRouter(spec)
	if err != nil {
		return nil, err
	}
	s := &stockServer{pool: pool, ids: store.NewIDs(time.Now)}
	e := echo.New()
	slog.SetDefault(slog.New(slog.NewTextHandler(log, nil)))
	e.Use(middleware.RequestLogger(), middleware.RequestID(), middleware.Recover())
	e.GET("/hello", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	a := e.Group("/admin", validateWith(router))
	a.GET("/users/:id", s.getUser)
	a.POST("/users", s.createUser)
	a.PUT("/users/:id/actions/allow_reset_passwords", s.allowReset)
	a.GET("/organisations/:id", s.getOrganisation)
	a.GET("/organisations", s.listOrganisations)
	a.POST("/sso", s.signOn)
	a.GET("/apis", s.exportAPIs)
	a.POST("/apis/import", s.importAPIs)
	a.GET("/policies", s.exportPolicies)
	a.POST("/policies/import", s.importPolicies)
	return e, nil
}

// validateWith checks every request against the contract, and who makes it.
func validateWith(router routers.Router) echo.MiddlewareFunc {
	options := &openapi3filter.Options{
		AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			if in.RequestValidationInput.Request.Header.Get("Admin-Auth") != adminSecret {
				return errors.New("not authorised")
			}
			return nil
		},
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			route, params, err := router.FindRoute(c.Request())
			if err != nil {
				return echo.NewHTTPError(http.StatusNotFound, err.Error())
			}
			if err := openapi3filter.ValidateRequest(c.Request().Context(), &openapi3filter.RequestValidationInput{
				Request: c.Request(), PathParams: params, Route: route, Options: options,
			}); err != nil {
				return echo.NewHTTPError(http.StatusBadRequest, err.Error())
			}
			return next(c)
		}
	}
}

func envelope(message string, meta any) admin.ApiError {
	return admin.ApiError{Status: admin.ApiErrorStatusOK, Message: message, Meta: meta}
}

func (s *stockServer) getUser(c echo.Context) error {
	user, err := oneUser(c.Request().Context(), s.pool, selectUser, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, show(user))
}

func (s *stockServer) allowReset(c echo.Context) error {
	user, err := oneUser(c.Request().Context(), s.pool, setResetPassword, c.Param("id"), true)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, envelope("User updated", show(user)))
}

func (s *stockServer) createUser(c echo.Context) error {
	var sent admin.UserRequest
	if err := c.Bind(&sent); err != nil {
		return err
	}
	user, err := oneUser(c.Request().Context(), s.pool, insertUser, s.ids.Object(), sent.OrgId, sent.EmailAddress, sent.EmailAddress,
		sent.FirstName, sent.LastName, sent.Active, s.ids.Key(), sent.UserPermissions, "", 0, time.Now())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, envelope(user.AccessKey, show(user)))
}

func (s *stockServer) signOn(c echo.Context) error {
	var sent admin.SSOAccessData
	if err := c.Bind(&sent); err != nil {
		return err
	}
	document, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	nonce, err := createNonce(c.Request().Context(), s.pool, s.ids, *sent.OrgID, *sent.EmailAddress, document)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, envelope("SSO Nonce created", nonce))
}

func (s *stockServer) getOrganisation(c echo.Context) error {
	row, err := oneOrganisation(c.Request().Context(), s.pool, `SELECT id, document FROM stock.organisations WHERE id = $1`, c.Param("id"))
	if err != nil {
		return err
	}
	var org typedOrganisation
	if err := json.Unmarshal(row.Document, &org); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, org)
}

func (s *stockServer) listOrganisations(c echo.Context) error {
	list, err := collect[typedOrganisation](c, s.pool, `SELECT document FROM stock.organisations ORDER BY position`)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"organisations": list, "pages": 0})
}

func (s *stockServer) exportAPIs(c echo.Context) error {
	list, err := collect[typedAPI](c, s.pool, `SELECT document FROM stock.apis ORDER BY position`)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"apis": list, "pages": 0})
}

func (s *stockServer) exportPolicies(c echo.Context) error {
	list, err := collect[typedPolicy](c, s.pool, `SELECT document FROM stock.policies ORDER BY position`)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"Data": list, "Pages": 0})
}

// collect decodes all rows of a query.
func collect[T any](c echo.Context, pool *pgxpool.Pool, sql string) ([]T, error) {
	rows, _ := pool.Query(c.Request().Context(), sql)
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

func (s *stockServer) importAPIs(c echo.Context) error {
	var sent struct {
		APIs []typedAPI `json:"apis"`
	}
	if err := c.Bind(&sent); err != nil {
		return err
	}
	return importEach(c, s.pool, sent.APIs, `
		INSERT INTO stock.apis (api_id, id, org_id, active, document) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (api_id) DO UPDATE SET id = excluded.id, active = excluded.active, document = excluded.document`,
		func(api typedAPI) []any {
			d := api.Definition
			return []any{*d.ApiId, *d.Id, *d.OrgId, *d.Active, api}
		})
}

func (s *stockServer) importPolicies(c echo.Context) error {
	var sent struct {
		Data []typedPolicy
	}
	if err := c.Bind(&sent); err != nil {
		return err
	}
	return importEach(c, s.pool, sent.Data, `
		INSERT INTO stock.policies (id, policy_id, org_id, document) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET policy_id = excluded.policy_id, document = excluded.document`,
		func(p typedPolicy) []any { return []any{p.ID, p.ID, p.OrgID, p} })
}

// importEach writes documents one by one in a transaction. The first argument of a statement is the document's id.
func importEach[T any](c echo.Context, pool *pgxpool.Pool, documents []T, sql string, args func(T) []any) error {
	there, ctx := map[string]bool{}, c.Request().Context()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, document := range documents {
			row := args(document)
			if _, err := tx.Exec(ctx, sql, row...); err != nil {
				return err
			}
			there[row[0].(string)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, envelope("imported", there))
}

// The documents as structs, which the generated package does not have: gatehouse keeps them as bytes.

type typedAPI struct {
	Model          map[string]any       `json:"api_model"`
	Definition     *admin.APIDefinition `json:"api_definition"`
	HookReferences []map[string]any     `json:"hook_references"`
	IsSite         bool                 `json:"is_site"`
	SortBy         int                  `json:"sort_by"`
	UserOwners     []string             `json:"user_owners"`
	GroupOwners    []string             `json:"user_group_owners"`
	OAS            *typedOAS            `json:"oas"`
}

type typedOAS struct {
	OpenAPI    string                        `json:"openapi"`
	Info       *admin.OASInfo                `json:"info"`
	Servers    []admin.OASServer             `json:"servers"`
	Paths      map[string]*admin.OASPathItem `json:"paths"`
	Components *admin.OASComponents          `json:"components"`
	Gateway    map[string]any                `json:"x-tyk-api-gateway,omitempty"`
}

type typedPolicy struct {
	ID               string                              `json:"_id"`
	ExplicitID       string                              `json:"id"`
	OrgID            string                              `json:"org_id"`
	Name             string                              `json:"name"`
	Active           bool                                `json:"active"`
	IsInactive       bool                                `json:"is_inactive"`
	Rate             float64                             `json:"rate"`
	Per              float64                             `json:"per"`
	QuotaMax         int64                               `json:"quota_max"`
	QuotaRenewalRate int64                               `json:"quota_renewal_rate"`
	AccessRights     map[string]admin.DBAccessDefinition `json:"access_rights"`
	Partitions       *admin.PolicyPartitions             `json:"partitions"`
	KeyExpiresIn     int64                               `json:"key_expires_in"`
	HMACEnabled      bool                                `json:"hmac_enabled"`
	Tags             []string                            `json:"tags"`
	MetaData         map[string]any                      `json:"meta_data"`
	LastUpdated      string                              `json:"last_updated"`
	DateCreated      time.Time                           `json:"date_created"`
	ThrottleInterval float64                             `json:"throttle_interval"`
	ThrottleRetries  int                                 `json:"throttle_retry_limit"`
	MaxQueryDepth    int                                 `json:"max_query_depth"`
}

type typedOrganisation struct {
	ID                    string                       `json:"id"`
	OwnerName             string                       `json:"owner_name"`
	OwnerSlug             string                       `json:"owner_slug"`
	CNameEnabled          bool                         `json:"cname_enabled"`
	CName                 string                       `json:"cname"`
	APIs                  []admin.ApiDocument          `json:"apis"`
	SSOEnabled            bool                         `json:"sso_enabled"`
	DeveloperQuota        int                          `json:"developer_quota"`
	DeveloperCount        int                          `json:"developer_count"`
	EventOptions          map[string]admin.EventConfig `json:"event_options"`
	HybridEnabled         bool                         `json:"hybrid_enabled"`
	UI                    admin.ConfigUIOptions        `json:"ui"`
	OptionsMeta           map[string]any               `json:"org_options_meta"`
	OpenPolicy            admin.OpenPolicyConf         `json:"open_policy"`
	AdditionalPermissions map[string]string            `json:"additional_permissions"`
}
