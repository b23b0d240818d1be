package server

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/internal/loglimit"
	"gatehouse/internal/remoteaddr"
)

// summaryInterval is how often requests that were not listed are summed up.
const summaryInterval = time.Minute

// manyClients is the number of clients at which what the logs list of each is limited by what they list of all.
const manyClients = 50

const (
	// contextAuthenticated is set in an echo.Context if a route that is no operation has authenticated the request.
	contextAuthenticated = "authenticated"
	// contextListed is where an echo.Context holds whether the request is listed in the logs.
	contextListed = "listed"
)

// isListed reports whether a request has lines in the logs: if it is authenticated, or its client has not sent too many
// that are not.
func (s *Server) isListed(c echo.Context) bool {
	if listed, decided := c.Get(contextListed).(bool); decided {
		return listed
	}
	listed := isAuthenticated(c) || s.lines.Allow(s.networkOf(c))
	c.Set(contextListed, listed)
	return listed
}

// Lists reports whether a line about a client is written to the log: until the client has caused too many, requests
// without a valid credential included. Otherwise, the client's line is summed up with those.
func (s *Server) Lists(client netip.Prefix) bool { return s.lines.Allow(client) }

// isAuthenticated reports whether a request has a credential that is right.
func isAuthenticated(c echo.Context) bool {
	r := requestOf(c)
	if r == nil {
		return c.Get(contextAuthenticated) != nil
	}
	return r.caller.authenticated() || r.secret != 0 || r.operator
}

// networkOf returns the addresses that count as the client of a request.
func (s *Server) networkOf(c echo.Context) netip.Prefix {
	return remoteaddr.Network(s.proxies.OfRequest(c.Request()))
}

// newLines sets the limiter of lines in the logs.
func (s *Server) newLines() (err error) {
	s.lines, err = loglimit.New(loglimit.Config{
		PerMinute: s.limits.UnauthenticatedLines, Total: manyClients * s.limits.UnauthenticatedLines,
		Summarise: s.summarise, Now: s.now,
	})
	return err
}

// summarise writes what was not listed of a client to the log, and to the audit log.
func (s *Server) summarise(of loglimit.Summary) {
	from := "others"
	if of.Client.IsValid() {
		from = of.Client.String()
	}
	s.log.Warn("requests not listed, a client has sent too many without a valid credential",
		"from", from, "since", of.Since, "count", of.Requests)
	if s.auditLog.Log == nil || of.Changes == 0 {
		return
	}
	s.auditLog.Log.Info("audit", slog.String("ip", from), slog.String("who", "nobody"),
		slog.String("outcome", "not_listed"), slog.Time("since", of.Since), slog.Int("count", of.Changes))
}

// SummariseLines sums up what was not listed. It is for after the last request: Run does so regularly.
func (s *Server) SummariseLines() { s.lines.Flush() }

// summariseLines sums up what was not listed until ctx ends, and then what is left.
func (s *Server) summariseLines(ctx context.Context) {
	tick := time.NewTicker(summaryInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.SummariseLines()
			return
		case <-tick.C:
			s.lines.Flush()
		}
	}
}
