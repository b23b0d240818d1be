package server

import (
	"context"
	"fmt"

	"gatehouse/gen/dashboard"
	"gatehouse/internal/apidef"
	"gatehouse/internal/importer"
	"gatehouse/store"
)

const (
	// shownWithheld is how many withheld documents of a kind an overview names.
	shownWithheld = 10
	// maxWithheldDocument is the maximum size in bytes of a withheld document that is checked again for an overview, to
	// say what is wrong with it. So an overview checks 2.5 MB at most, which takes some 20 ms.
	maxWithheldDocument = 128 << 10
	// shownReasons is how many reasons an overview has of a document.
	shownReasons = 3
)

// withheldKind is a kind of documents that gateways get.
type withheldKind struct {
	object dashboard.OverviewObjectKind
	// noun is what one is called, plural several, and effect what withholding one means.
	noun, plural, effect string
	check                *apidef.Check
	list                 func(context.Context, store.WithheldFilter) ([]store.WithheldDocument, error)
	count                int
}

// withheldProblems returns the problems of documents that gateways do not get.
func (s *Server) withheldProblems(
	ctx context.Context, c caller, counts store.Overview,
) (problems []dashboard.OverviewProblem, err error) {
	var kinds []withheldKind
	if c.mayRead("apis") {
		kinds = append(kinds, withheldKind{
			dashboard.OverviewObjectKindApi, "API", "APIs", "not served", s.checks.APIs, s.store.WithheldAPIs,
			counts.WithheldAPIs,
		})
	}
	if c.mayRead("policies") {
		kinds = append(kinds, withheldKind{
			dashboard.OverviewObjectKindPolicy, "policy", "policies", "not in force", s.checks.Policies,
			s.store.WithheldPolicies, counts.WithheldPolicies,
		})
	}
	for _, kind := range kinds {
		if kind.count == 0 {
			continue
		}
		found, err := kind.list(ctx, store.WithheldFilter{
			CheckedBy: s.checks.Name, OrgID: c.scope(), Limit: shownWithheld, MaxSize: maxWithheldDocument,
		})
		if err != nil {
			return nil, err
		}
		problems = append(problems, kind.problems(found)...)
	}
	return problems, nil
}

func (k withheldKind) problems(found []store.WithheldDocument) (problems []dashboard.OverviewProblem) {
	for _, doc := range found {
		problems = append(problems, dashboard.OverviewProblem{
			Severity: dashboard.OverviewProblemSeverityError,
			Text:     fmt.Sprintf("The %s %q is %s: %s.", k.noun, nameOr(doc.Name, doc.ID), k.effect, k.reasons(doc)),
			Action:   fmt.Sprintf("Correct the %s and store it again, or delete it.", k.noun),
			Object:   &dashboard.OverviewObject{Kind: k.object, Id: doc.ID, OrgId: doc.OrgID},
		})
	}
	if more := k.count - len(found); more > 0 && len(found) == shownWithheld {
		problems = append(problems, dashboard.OverviewProblem{
			Severity: dashboard.OverviewProblemSeverityError,
			Text:     k.more(more),
			Action:   "Correct those above first. The log of the server names each of them, and why.",
		})
	}
	return problems
}

// more says how many are not named.
func (k withheldKind) more(n int) string {
	if n == 1 {
		return fmt.Sprintf("One more %s is %s.", k.noun, k.effect)
	}
	return fmt.Sprintf("%d more %s are %s.", n, k.plural, k.effect)
}

// reasons returns why gateways could not decode a document.
func (k withheldKind) reasons(doc store.WithheldDocument) string {
	if doc.Document == nil {
		return "gateways could not decode it (the log of the server says why)"
	}
	_, problems := k.check.Stored(doc.Document)
	if len(problems) == 0 { // it was corrected meanwhile
		return "gateways could not decode it"
	}
	return importer.Reasons(problems[:min(len(problems), shownReasons)])
}

// nameOr returns a name, or the ID of what has none.
func nameOr(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// quotaProblems returns what gateways have reported of quotas in the last hour. Only this server's reports are known.
func (s *Server) quotaProblems(orgID *string) (problems []dashboard.OverviewProblem) {
	for _, summary := range s.quotaReports.summaries(orgID) {
		last := summary.last
		problem := dashboard.OverviewProblem{
			Severity: dashboard.OverviewProblemSeverityWarning,
			Text: fmt.Sprintf("A key has used %d%% of its quota: gateways have reported %d%% or more %s in the last hour.",
				last.used, last.limit, times(summary.count)),
			Action: "Raise the quota of the key or of its policy, or ask its owner to send fewer requests.",
		}
		if last.orgID != "" {
			problem.Object = &dashboard.OverviewObject{
				Kind: dashboard.OverviewObjectKindOrganisation, Id: last.orgID, OrgId: last.orgID,
			}
		}
		problems = append(problems, problem)
	}
	return problems
}

// times returns a number of times in words.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
