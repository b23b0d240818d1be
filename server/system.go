package server

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// pingTimeout bounds a health check. Those who poll it give up after a few seconds.
const pingTimeout = 2 * time.Second

// ReloadURLs implements admin.ServerInterface.
func (s *Server) ReloadURLs(c echo.Context) error {
	if err := s.store.Notify(c.Request().Context(), store.EventReload); err != nil {
		return err
	}
	return replyObject(c, admin.ReloadResponse{Status: admin.Ok})
}

// AdminHello implements admin.ServerInterface.
func (s *Server) AdminHello(c echo.Context) error { return replyOK(c, nil) }

// GetRoot implements dashboard.ServerInterface.
func (s *Server) GetRoot(c echo.Context) error { return replyOK(c, nil) }

// GetHello implements dashboard.ServerInterface.
func (s *Server) GetHello(c echo.Context) error { return replyObject(c, s.health(c)) }

// GetHealth implements dashboard.ServerInterface.
func (s *Server) GetHealth(c echo.Context) error { return replyObject(c, s.health(c)) }

// GetReady implements dashboard.ServerInterface.
func (s *Server) GetReady(c echo.Context) error {
	health := s.health(c)
	outcome := outcomeOK
	if health.Status == dashboard.HealthStatusFail {
		outcome = outcomeFailed
	}
	return writeJSON(c, operationOf(c).Responses[outcome].Status, health)
}

// health pings the database and counts the gateways.
func (s *Server) health(c echo.Context) dashboard.Health {
	ctx, cancel := context.WithTimeout(c.Request().Context(), pingTimeout)
	defer cancel()
	item := func(component string) dashboard.HealthItem {
		return dashboard.HealthItem{
			Status: dashboard.HealthItemStatusPass, ComponentType: component, Time: s.now().UTC(),
		}
	}
	postgres, status := item("datastore"), dashboard.HealthStatusPass
	if err := s.store.Ping(ctx); err != nil {
		output := "the database does not answer"
		postgres.Status, postgres.Output, status = dashboard.HealthItemStatusFail, &output, dashboard.HealthStatusFail
		s.log.Error("ping database failed", "err", err)
	}
	details := map[string]dashboard.HealthItem{"postgres": postgres}
	if nodes, err := s.store.CountNodes(ctx); err == nil {
		counted := item("system")
		counted.ObservedValue = &nodes
		details["nodes"] = counted
	}
	if last, ok := s.sync.LastReload(); ok {
		reload := item("system")
		reload.Time = last.UTC()
		details["reload"] = reload
	}
	return dashboard.Health{Status: status, Version: s.version, Description: "gatehouse", Details: details}
}
