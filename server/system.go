package server

import (
	"cmp"
	"errors"
	"fmt"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// ReloadURLs implements admin.Handlers. HEAD announces no reload.
func (s *Server) ReloadURLs(r *request) admin.ReloadURLsReply {
	var reply admin.ReloadURLsReplies
	ok := admin.ReloadResponse{Status: admin.ReloadResponseStatusOk}
	if r.IsHead() {
		return reply.OK(ok)
	}
	if err := s.store.Notify(r.Context(), store.EventReload); err != nil {
		return reply.Failed(err)
	}
	return reply.OK(ok)
}

// AdminHello implements admin.Handlers.
func (s *Server) AdminHello(*request) admin.AdminHelloReply { return admin.AdminHelloReplies{}.OK() }

// GetRoot implements dashboard.Handlers.
func (s *Server) GetRoot(*request) dashboard.GetRootReply { return dashboard.GetRootReplies{}.OK() }

// GetHello implements dashboard.Handlers.
func (s *Server) GetHello(r *request) dashboard.GetHelloReply {
	return dashboard.GetHelloReplies{}.OK(s.loggedHealth(r))
}

// GetHealth implements dashboard.Handlers.
func (s *Server) GetHealth(r *request) dashboard.GetHealthReply {
	return dashboard.GetHealthReplies{}.OK(s.loggedHealth(r))
}

// GetReady implements dashboard.Handlers.
func (s *Server) GetReady(r *request) dashboard.GetReadyReply {
	var reply dashboard.GetReadyReplies
	health, err := s.health(r)
	if errors.Is(err, errStopping) { // that it stops is in the log
		err = apiserver.Unlogged(err)
	}
	if err != nil {
		return reply.Failed(health, err)
	}
	return reply.OK(health)
}

// loggedHealth returns the health, and logs why it is not good.
func (s *Server) loggedHealth(r *request) dashboard.Health {
	health, err := s.health(r)
	if err != nil && s.isListed(r.Echo) {
		r.LogError("check health failed", err)
	}
	return health
}

// errDeaf is why a server is not ready that does not listen.
var errDeaf = errors.New("notices of changes are not received from the database")

// errStopping is why a server is not ready that has been asked to stop.
var errStopping = errors.New("the server is stopping")

// PrepareStop has /ready answer that the server is stopping, so that load balancers send their requests elsewhere, and
// has responses end their connections. Requests are served as before.
func (s *Server) PrepareStop() { s.stopping.Store(true) }

// health checks the database and the listener, and counts the gateways. The error is why the server is not ready, and
// errStopping only if nothing else is; the health is complete without it.
func (s *Server) health(r *request) (dashboard.Health, error) {
	found, unfit := s.store.Health(r.Context())
	var deaf error
	if s.sync.Deaf() {
		deaf = errDeaf
	}
	details := map[string]dashboard.HealthItem{
		"postgres": s.healthItem("datastore", databaseProblem(unfit)), "listener": s.healthItem("system", deaf),
	}
	if found.Nodes != nil {
		counted := s.healthItem("system", nil)
		counted.ObservedValue = &found.Nodes.Registered
		if behind := found.Nodes.Behind; behind > 0 {
			output := fmt.Sprintf("not loaded the last change: %d of %d", behind, found.Nodes.Registered)
			counted.Status, counted.Output = dashboard.HealthItemStatusWarn, &output
		}
		details["nodes"] = counted
	}
	if last, ok := s.sync.LastReload(); ok {
		reload := s.healthItem("system", nil)
		reload.Time = last.UTC()
		details["reload"] = reload
	}
	err, status := errors.Join(unfit, deaf), dashboard.HealthStatusPass
	if s.stopping.Load() {
		details["server"] = s.healthItem("system", errStopping)
		err = cmp.Or(err, errStopping)
	}
	if err != nil {
		status = dashboard.HealthStatusFail
	}
	return dashboard.Health{Status: status, Version: s.version, Description: "gatehouse", Details: details}, err
}

// healthItem returns the state of a part of the server, of which the problem is public.
func (s *Server) healthItem(component string, problem error) dashboard.HealthItem {
	item := dashboard.HealthItem{
		Status: dashboard.HealthItemStatusPass, ComponentType: component, Time: s.now().UTC(),
	}
	if problem != nil {
		output := problem.Error()
		item.Status, item.Output = dashboard.HealthItemStatusFail, &output
	}
	return item
}

// errNoAnswer stands for every other error of the database.
var errNoAnswer = errors.New("the database does not answer")

// databaseProblem returns the part of an error of store.Health that may be shown to clients without a credential.
func databaseProblem(err error) error {
	for _, known := range []error{store.ErrReadOnly, store.ErrDiskFull, store.ErrNoConnectionLeft} {
		if errors.Is(err, known) {
			return known
		}
	}
	if err != nil {
		return errNoAnswer
	}
	return nil
}
