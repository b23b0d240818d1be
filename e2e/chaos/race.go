package main

import (
	"context"
	"sync"
)

// race sends the same request, which creates a unique object, to all servers at the same time: one may succeed at most.
func (w *worker) race(ctx context.Context) {
	const organisation = `{"owner_name":"race","cname_enabled":true,"cname":"%m.chaos.example"}`
	rules := []struct {
		rule string
		send call
	}{
		{"e-mail address of a user", withBody((*api).CreateUserWithBodyWithResponse, `{`+user+`}`)},
		{"domain of an organisation", withBody((*api).CreateOrgWithBodyWithResponse, organisation)},
		{"api_id of an API", withQueryAndBody((*api).PostApisWithBodyWithResponse, classicAPI)},
		{"ID of a policy", withBody((*api).PostPoliciesWithBodyWithResponse, policy)},
		{"e-mail address of a developer", withBody((*api).CreatePortalDeveloperWithBodyWithResponse, developer)},
	}
	chosen := rules[w.random.IntN(len(rules))]
	t := target{org: w.org, marker: w.newMarker(), id: w.newID(32)}
	if chosen.rule == "ID of a policy" {
		t.id = w.newID(24)
	}
	answers := make([]answer, len(w.callers))
	var all sync.WaitGroup
	for i, c := range w.callers {
		all.Go(func() { answers[i] = c.do(ctx, chosen.send, t) })
	}
	all.Wait()
	successes := 0
	for _, a := range answers {
		if a.verdict == acknowledged {
			successes++
		}
	}
	w.acknowledged += successes
	w.report.count("races for a unique value", 1)
	if successes > 1 {
		w.report.failf("the %s is not unique:%s", chosen.rule, textsOf(answers))
	}
}
