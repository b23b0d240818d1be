// Command stock is the plain way to use the libraries that gatehouse uses: Echo, kin-openapi's
// request filter behind its own router, Bind into typed structs, documents as jsonb, one statement
// per row, and lists that are collected and encoded whole.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"gatehouse/bench/alternative"
	"gatehouse/gen/admin"
)

func main() { alternative.Main(newServer) }

type server struct {
	pool *pgxpool.Pool
}

func newServer(pool *pgxpool.Pool, log *slog.Logger) (http.Handler, error) {
	spec, err := admin.GetSpec()
	if err != nil {
		return nil, err
	}
	spec.Servers = nil // gorillamux would match their hosts
	router, err := gorillamux.NewRouter(spec)
	if err != nil {
		return nil, err
	}
	s := &server{pool: pool}
	e := echo.New()
	slog.SetDefault(log) // RequestLogger logs to it
	e.Use(middleware.RequestLogger(), middleware.RequestID(), middleware.Recover())
	e.GET("/hello", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	a := e.Group("/admin", validate(router))
	a.GET("/users/:id", s.getUser)
	a.POST("/users", s.createUser)
	a.PUT("/users/:id/actions/allow_reset_passwords", s.allowReset)
	a.GET("/organisations/:id", s.getOrganisation)
	a.GET("/organisations", s.listOrganisations)
	a.POST("/sso", s.createNonce)
	a.GET("/apis", s.exportAPIs)
	a.POST("/apis/import", s.importAPIs)
	a.GET("/policies", s.exportPolicies)
	a.POST("/policies/import", s.importPolicies)
	return e, nil
}

// validate returns middleware that authenticates each request and validates it against the contract.
func validate(router routers.Router) echo.MiddlewareFunc {
	options := &openapi3filter.Options{
		AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
			if in.RequestValidationInput.Request.Header.Get("Admin-Auth") != alternative.AdminSecret {
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

func (s *server) getUser(c echo.Context) error {
	user, err := alternative.GetUser(c.Request().Context(), s.pool, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, user.Response())
}

func (s *server) allowReset(c echo.Context) error {
	user, err := alternative.AllowResetPassword(c.Request().Context(), s.pool, c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, alternative.OK("User updated", user.Response()))
}

func (s *server) createUser(c echo.Context) error {
	var sent admin.UserRequest
	if err := c.Bind(&sent); err != nil {
		return err
	}
	user, err := alternative.CreateUser(c.Request().Context(), s.pool, alternative.User{
		OrgID: *sent.OrgId, EmailAddress: *sent.EmailAddress, FirstName: *sent.FirstName, LastName: *sent.LastName,
		Active: *sent.Active, UserPermissions: *sent.UserPermissions,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, alternative.OK(user.AccessKey, user.Response()))
}

func (s *server) createNonce(c echo.Context) error {
	var sent admin.SSOAccessData
	if err := c.Bind(&sent); err != nil {
		return err
	}
	document, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	nonce, err := alternative.CreateNonce(c.Request().Context(), s.pool, alternative.Nonce{
		OrgID: *sent.OrgID, EmailAddress: *sent.EmailAddress, Document: document,
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, alternative.OK("SSO Nonce created", nonce))
}

func (s *server) getOrganisation(c echo.Context) error {
	const sql = `SELECT id, document FROM stock.organisations WHERE id = $1`
	document, err := alternative.QueryDocument(c.Request().Context(), s.pool, sql, c.Param("id"))
	if err != nil {
		return err
	}
	var org organisation
	if err := json.Unmarshal(document, &org); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, org)
}

func (s *server) listOrganisations(c echo.Context) error {
	list, err := collect[organisation](c, s.pool, `SELECT document FROM stock.organisations ORDER BY position`)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"organisations": list, "pages": 0})
}

func (s *server) exportAPIs(c echo.Context) error {
	list, err := collect[api](c, s.pool, `SELECT document FROM stock.apis ORDER BY position`)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"apis": list, "pages": 0})
}

func (s *server) exportPolicies(c echo.Context) error {
	list, err := collect[policy](c, s.pool, `SELECT document FROM stock.policies ORDER BY position`)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"Data": list, "Pages": 0})
}

// collect decodes all rows of a query.
func collect[T any](c echo.Context, pool *pgxpool.Pool, sql string) ([]T, error) {
	rows, _ := pool.Query(c.Request().Context(), sql) // CollectRows returns the error of Query
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

func (s *server) importAPIs(c echo.Context) error {
	var sent struct {
		APIs []api `json:"apis"`
	}
	if err := c.Bind(&sent); err != nil {
		return err
	}
	const sql = `
		INSERT INTO stock.apis (api_id, id, org_id, active, document) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (api_id) DO UPDATE SET id = excluded.id, active = excluded.active, document = excluded.document`
	imported, err := upsertEach(c, s.pool, sql, sent.APIs)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, alternative.OK("imported", imported))
}

func (s *server) importPolicies(c echo.Context) error {
	var sent struct {
		Data []policy
	}
	if err := c.Bind(&sent); err != nil {
		return err
	}
	const sql = `
		INSERT INTO stock.policies (id, policy_id, org_id, document) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET policy_id = excluded.policy_id, document = excluded.document`
	imported, err := upsertEach(c, s.pool, sql, sent.Data)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, alternative.OK("imported", imported))
}

// rower returns the arguments of an upsert. The first is the ID of the document.
type rower interface{ row() []any }

// upsertEach stores documents one by one in one transaction, and returns their IDs.
func upsertEach[T rower](c echo.Context, pool *pgxpool.Pool, sql string, documents []T) (map[string]bool, error) {
	imported, ctx := map[string]bool{}, c.Request().Context()
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, document := range documents {
			row := document.row()
			if _, err := tx.Exec(ctx, sql, row...); err != nil {
				return err
			}
			imported[row[0].(string)] = true
		}
		return nil
	})
	return imported, err
}
