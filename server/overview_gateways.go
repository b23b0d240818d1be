package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"gatehouse/gen/dashboard"
	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// gatewayOverview is what is known of the gateways.
type gatewayOverview struct {
	nodes []store.Node
	state gatewayState
	// deaf reports whether the server receives no notices of changes.
	deaf bool
}

func (s *Server) gatewayOverview(ctx context.Context) (found gatewayOverview, err error) {
	found.deaf = s.sync.Deaf()
	if found.nodes, err = s.store.Nodes(ctx); err != nil {
		return found, err
	}
	found.state, err = s.probe.state(ctx) // no connection of the database is held meanwhile
	return found, err
}

// behind returns the gateways that have not loaded the last change in time.
func (g gatewayOverview) behind() (behind []store.Node) {
	for _, node := range g.nodes {
		if node.Behind {
			behind = append(behind, node)
		}
	}
	return behind
}

func (g gatewayOverview) toGateways() dashboard.OverviewGateways {
	return dashboard.OverviewGateways{
		Registered: len(g.nodes), Behind: len(g.behind()), Version: g.state.version,
		ControlApi: reachable[dashboard.OverviewGatewaysControlApi](g.state.controlErr),
		Redis:      reachable[dashboard.OverviewGatewaysRedis](g.state.redisErr),
	}
}

func (g gatewayOverview) problems(counts store.Overview) (problems []dashboard.OverviewProblem) {
	add := func(severity dashboard.OverviewProblemSeverity, text, action string) {
		problems = append(problems, dashboard.OverviewProblem{Severity: severity, Text: text, Action: action})
	}
	if g.deaf {
		add(dashboard.OverviewProblemSeverityError, "This server receives no notices of changes from the database.",
			"Check the connection to the database, and that no pooler of transactions is between (--direct-database-url).")
	}
	if text, action := controlProblem(g.state.controlErr); text != "" {
		add(dashboard.OverviewProblemSeverityError, text, action)
	}
	switch {
	case errors.Is(g.state.redisErr, gateway.ErrRedisCredentials):
		add(dashboard.OverviewProblemSeverityError, "The Redis of the gateways refuses the user name or the password.",
			"Set --redis-username and --redis-password to those of the Redis.")
	case g.state.redisErr != nil && !errors.Is(g.state.redisErr, gateway.ErrNotConfigured):
		add(dashboard.OverviewProblemSeverityError,
			"The Redis of the gateways does not answer: gateways are not notified of changes by it.",
			"Check that it runs, and --redis-host and --redis-port. gatehouse doctor says more.")
	case g.state.redisErr == nil && g.state.counted && g.state.listeners == 0 && len(g.nodes) > 0:
		add(dashboard.OverviewProblemSeverityWarning, "No gateway listens on the Redis that notices are sent to.",
			"Check that it is the Redis that the gateways have in their setting storage.")
	}
	if g.state.redisFails {
		add(dashboard.OverviewProblemSeverityError,
			"The gateway does not reach its Redis: it has no keys and receives no notices.",
			"Check the setting storage of the gateway, and its Redis.")
	}
	for _, node := range g.behind() {
		problems = append(problems, dashboard.OverviewProblem{
			Severity: dashboard.OverviewProblemSeverityWarning,
			Text:     fmt.Sprintf("The gateway %q has not loaded the last change.", nameOr(node.Hostname, node.ID)),
			Action:   "It is notified again. If it stays behind, read its log, and reload the gateways.",
			Object:   &dashboard.OverviewObject{Kind: dashboard.OverviewObjectKindGateway, Id: node.ID},
		})
	}
	if len(g.nodes) == 0 && counts.ActiveAPIs > 0 {
		add(dashboard.OverviewProblemSeverityWarning, "No gateway has registered: the APIs are served nowhere.",
			"Start a gateway with the URL and the node secret of this server.")
	}
	return problems
}

// controlProblem returns what is wrong with the control API of the gateway, and what to do; "" if nothing is.
func controlProblem(err error) (text, action string) {
	refused, isRefused := errors.AsType[*gateway.Refused](err)
	switch {
	case err == nil, errors.Is(err, gateway.ErrNotConfigured):
		return "", ""
	case isRefused && refused.Status == http.StatusForbidden:
		return "The gateway refuses the secret of this server: keys can be neither created nor changed.",
			"Set --gateway-secret to the secret of the gateway, which is not its node_secret."
	case errors.Is(err, gateway.ErrNoControlAPI):
		return "What answers at the address of the gateway is not its control API.",
			"Set --gateway-port to the control_api_port of the gateway if that is set, else to its listen_port."
	case errors.Is(err, gateway.ErrUnreachable):
		return "The gateway's control API does not answer: keys can be neither created nor changed.",
			"Check that the gateway runs, and --gateway-host and --gateway-port. gatehouse doctor says more."
	}
	return "The gateway's control API fails.", "Read the log of the gateway."
}
