package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gatehouse/client"
)

// nonceTrusted is the age up to which a nonce must be redeemable. Servers keep nonces for 60 s.
const nonceTrusted = 40 * time.Second

// nonce is a one-time sign-on.
type nonce struct {
	text    string
	portal  bool
	created time.Time
	state   nonceState
}

type nonceState int

const (
	fresh    nonceState = iota // no request has sent it
	redeemed                   // one request has redeemed it
	unknown                    // requests have sent it, and not all were answered
)

// nonces are the nonces of a worker.
type nonces struct {
	callers []*caller // with a new connection for each request
	all     []*nonce
}

// useNonce creates a nonce, and has all servers redeem it at once, or leaves it for the checks.
func (w *worker) useNonce(ctx context.Context) {
	n := &nonce{portal: w.random.IntN(2) == 0, created: time.Now()}
	section := map[bool]string{true: "portal", false: "dashboard"}[n.portal]
	body := `{"ForSection":"` + section + `","OrgID":"%o","EmailAddress":"%m@chaos.example"}`
	create := withBody((*api).GenerateAuthTokenWithBodyWithResponse, body)
	if len(w.nonces.all)%2 == 0 { // so that the rehearsal sends both
		create = withBody((*api).CreateSSONonceWithBodyWithResponse, body)
	}
	a := w.caller().do(ctx, create, target{org: w.org, marker: w.newMarker()})
	switch a.verdict {
	case uncertain:
		return
	case acknowledged:
		w.acknowledged++
		n.text = member("Meta")(a.body)
	case absent, refused:
		w.report.failf("%s\n\texpected a nonce", a.text)
		return
	}
	w.nonces.all = append(w.nonces.all, n)
	if w.random.IntN(3) > 0 {
		if err := w.nonces.redeem(ctx, n); err != nil {
			w.report.failf("%s", err)
		}
	}
}

// redeem sends a nonce to all servers at the same time, twice to each. One request may redeem it at most; one has to,
// if the nonce is fresh and all requests are answered.
func (ns *nonces) redeem(ctx context.Context, n *nonce) error {
	send := func(ctx context.Context, c *api, _ target) (response, error) {
		if n.portal {
			return result(c.RedeemPortalNonceWithResponse(ctx, &client.RedeemPortalNonceParams{Nonce: n.text}))
		}
		return result(c.RedeemDashboardNonceWithResponse(ctx, &client.RedeemDashboardNonceParams{Nonce: n.text}))
	}
	answers := make([]answer, 2*len(ns.callers))
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = ns.callers[i%len(ns.callers)].do(ctx, send, target{}) })
	}
	all.Wait()
	counts := map[verdict]int{}
	for _, a := range answers {
		counts[a.verdict]++
	}
	before, texts := n.state, textsOf(answers)
	n.state = redeemed
	if counts[acknowledged] == 0 && before != redeemed {
		n.state = unknown
	}
	switch {
	case counts[refused] > 0:
		return fmt.Errorf("a nonce was refused:%s", texts)
	case counts[acknowledged] > 1, counts[acknowledged] == 1 && before == redeemed:
		return fmt.Errorf("a nonce was redeemed more than once:%s", texts)
	case counts[acknowledged] == 0 && counts[uncertain] == 0 && before == fresh && time.Since(n.created) < nonceTrusted:
		return fmt.Errorf("nobody could redeem an acknowledged nonce:%s", texts)
	}
	return nil
}

// check redeems each nonce once more.
func (ns *nonces) check(ctx context.Context) (problems []error) {
	for _, n := range ns.all {
		if err := ns.redeem(ctx, n); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}
