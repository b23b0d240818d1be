package server

import (
	"context"
	"slices"

	"gatehouse/contract"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// maxOverviewProblems is how many problems an overview has.
const maxOverviewProblems = 100

// GetOverview implements dashboard.Handlers.
func (s *Server) GetOverview(r *request) dashboard.GetOverviewReply {
	var reply dashboard.GetOverviewReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	overview, err := s.overview(r.Context(), caller)
	if err != nil {
		return reply.Failed(err)
	}
	return reply.OK(overview)
}

// mayRead reports whether the caller may read objects of a kind.
func (c caller) mayRead(object string) bool {
	return c.has(&contract.Permission{Object: object, Level: contract.LevelRead})
}

// overview returns what the caller may know of the installation and of their organisation.
func (s *Server) overview(ctx context.Context, c caller) (dashboard.Overview, error) {
	counts, err := s.store.Overview(ctx, s.checks.Name, c.scope())
	if err != nil {
		return dashboard.Overview{}, err
	}
	shown := dashboard.Overview{Version: s.version}
	if c.scope() == nil {
		shown.Organisations = &counts.Organisations
	}
	if c.mayRead("users") {
		shown.Users = &counts.Users
	}
	if c.mayRead("policies") {
		shown.Policies = &counts.Policies
	}
	if c.mayRead("apis") {
		apis := toOverviewAPIs(counts)
		shown.Apis = &apis
	}
	problems, err := s.withheldProblems(ctx, c, counts)
	if err != nil {
		return shown, err
	}
	if c.mayRead("keys") {
		problems = append(problems, s.quotaProblems(c.scope())...)
	}
	if c.mayRead("system") {
		hour := s.metrics.traffic.lastHour()
		shown.Traffic = &hour
		found, err := s.gatewayOverview(ctx)
		if err != nil {
			return shown, err
		}
		gateways := found.toGateways()
		shown.Gateways = &gateways
		problems = append(problems, found.problems(counts)...)
	}
	shown.Problems = worstFirst(problems)
	return shown, nil
}

func toOverviewAPIs(o store.Overview) dashboard.OverviewAPIs {
	return dashboard.OverviewAPIs{
		Total: o.APIs, Active: o.ActiveAPIs, Inactive: o.APIs - o.ActiveAPIs, Classic: o.APIs - o.OASAPIs, Oas: o.OASAPIs,
	}
}

// severities are those of problems, the worst first.
var severities = []dashboard.OverviewProblemSeverity{
	dashboard.OverviewProblemSeverityError, dashboard.OverviewProblemSeverityWarning,
	dashboard.OverviewProblemSeverityNote,
}

// worstFirst sorts problems, and leaves out those that are too many.
func worstFirst(problems []dashboard.OverviewProblem) []dashboard.OverviewProblem {
	sorted := make([]dashboard.OverviewProblem, 0, len(problems))
	sorted = append(sorted, problems...)
	slices.SortStableFunc(sorted, func(a, b dashboard.OverviewProblem) int {
		return slices.Index(severities, a.Severity) - slices.Index(severities, b.Severity)
	})
	return sorted[:min(len(sorted), maxOverviewProblems)]
}
