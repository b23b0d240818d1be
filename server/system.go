package server

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// pingTimeout bounds a health check: who asks gives up after a few seconds.
const pingTimeout = 2 * time.Second

// ReloadURLs implements admin.ServerInterface.
func (s *Server) ReloadURLs(c echo.Context) error {
	if err := s.Store.Notify(c.Request().Context(), store.EventReload); err != nil {
		return err
	}
	return bare(c, admin.ReloadResponse{Status: admin.Ok})
}

// AdminHello implements admin.ServerInterface.
func (s *Server) AdminHello(c echo.Context) error { return done(c, nil) }

// GetRoot implements dashboard.ServerInterface.
func (s *Server) GetRoot(c echo.Context) error { return done(c, nil) }

// GetHello implements dashboard.ServerInterface.
func (s *Server) GetHello(c echo.Context) error { return bare(c, s.health(c)) }

// GetHealth implements dashboard.ServerInterface.
func (s *Server) GetHealth(c echo.Context) error { return bare(c, s.health(c)) }

// GetReady implements dashboard.ServerInterface.
func (s *Server) GetReady(c echo.Context) error {
	health := s.health(c)
	if health.Status == dashboard.HealthStatusFail {
		return writeJSON(c, operationOf(c).Responses[failed].Status, health)
	}
	return bare(c, health)
}

// health asks the database, and tells how things are.
func (s *Server) health(c echo.Context) dashboard.Health {
	ctx, cancel := context.WithTimeout(c.Request().Context(), pingTimeout)
	defer cancel()
	postgres := dashboard.HealthItem{Status: dashboard.HealthItemStatusPass, ComponentType: "datastore", Time: s.Now().UTC()}
	status := dashboard.HealthStatusPass
	if err := s.Store.Ping(ctx); err != nil {
		output := "the database does not answer"
		postgres.Status, postgres.Output, status = dashboard.HealthItemStatusFail, &output, dashboard.HealthStatusFail
		s.Log.Error("health", "err", err)
	}
	details := map[string]dashboard.HealthItem{"postgres": postgres}
	if nodes, err := s.Store.CountNodes(ctx); err == nil {
		details["nodes"] = dashboard.HealthItem{
			Status: dashboard.HealthItemStatusPass, ComponentType: "system", ObservedValue: &nodes, Time: s.Now().UTC(),
		}
	}
	if last, ok := s.sync.LastReload(); ok {
		details["reload"] = dashboard.HealthItem{Status: dashboard.HealthItemStatusPass, ComponentType: "system", Time: last.UTC()}
	}
	return dashboard.Health{Status: status, Version: s.Version, Description: "gatehouse", Details: details}
}

var _ http.Handler = (*Server)(nil)
