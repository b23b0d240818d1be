package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/internal/gatewaystandin"
)

const (
	// maxGatewayDelay is how long a gateway may take to load what is stored, on a busy machine.
	maxGatewayDelay = 45 * time.Second
	// readers is the number of objects that are read at the same time.
	readers = 8
)

// checkObjects reads each object of the worker, and compares its state with the possible ones.
func (w *worker) checkObjects(ctx context.Context) {
	var waiting sync.WaitGroup
	limit := make(chan struct{}, readers)
	for i, o := range w.objects {
		limit <- struct{}{}
		waiting.Go(func() {
			defer func() { <-limit }()
			w.checkObject(ctx, o, w.callers[i%len(w.callers)])
		})
	}
	waiting.Wait()
	for _, b := range w.bulks {
		w.check(ctx, func(ctx context.Context) error { return b.check(ctx, w.callers[0], w.org) })
	}
	for _, l := range w.logins {
		w.check(ctx, l.check)
	}
	w.report.count("objects checked", len(w.objects)+len(w.bulks)*bulkSize+len(w.logins))
}

func (w *worker) checkObject(ctx context.Context, o *object, c *caller) {
	w.check(ctx, func(ctx context.Context) error {
		state, known := o.read(ctx, c)
		switch {
		case !known:
			return fmt.Errorf("%w: %s", errUnreadable, state)
		case !slices.Contains(o.possible, state):
			return fmt.Errorf("%s %s of organisation %s is %q for server %s, expected one of %q (\"\": it does not exist)",
				o.kind.name, o.target.id, w.org, state, c.server, o.possible)
		}
		return nil
	})
}

// check calls do until it returns another error than errUnreadable, and reports the error.
func (w *worker) check(ctx context.Context, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, maxRecovery)
	defer cancel()
	var problem error
	err := waitFor(ctx, func() error {
		if problem = do(ctx); errors.Is(problem, errUnreadable) {
			return problem
		}
		return nil
	})
	if err != nil {
		problem = err
	}
	if problem != nil {
		w.report.failf("%v", problem)
	}
}

// checkNonces redeems the nonces once more, which is the last time for all of them.
func (w *worker) checkNonces(ctx context.Context) {
	for _, err := range w.nonces.check(ctx) {
		w.report.failf("%v", err)
	}
	w.report.count("nonces", len(w.nonces.all))
	w.nonces.all = nil
}

// checkDatabase checks tables and indexes with pg_amcheck, and unique columns without their indexes.
func (w *world) checkDatabase(ctx context.Context) {
	primary := w.pair.Primary()
	if err := w.pair.Check(ctx, primary, database); err != nil {
		w.report.failf("pg_amcheck of node %s: %v", primary.Name, err)
	}
	found, err := duplicates(ctx, primary)
	if err != nil || len(found) > 0 {
		w.report.failf("expected no duplicates in unique columns: %v %q", err, found)
	}
}

// checkGateways waits until the gateways have the stored APIs, policies and organisation keys.
func (w *world) checkGateways(ctx context.Context) {
	for i, gateway := range w.gateways {
		name := "gateway " + w.servers[i].name
		failure := withinDelay(ctx, func() error {
			if err := w.restartDeadlocked(gateway); err != nil {
				return err
			}
			return w.checkGateway(ctx, gateway)
		})
		if failure != nil {
			w.report.failf("%s after %s: %v (deadlocked: %t)", name, maxGatewayDelay, failure, gateway.Deadlocked())
			// Later rounds must not fail for the same reason.
			if err := gateway.Restart(); err != nil {
				w.report.failf("%s: %v", name, err)
			}
		}
	}
	if err := withinDelay(ctx, func() error { return w.checkOrgKeys(ctx) }); err != nil {
		w.report.failf("organisation keys in gateways after %s: %v", maxGatewayDelay, err)
	}
}

// withinDelay calls check until it succeeds, for maxGatewayDelay.
func withinDelay(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, maxGatewayDelay)
	defer cancel()
	return waitFor(ctx, check)
}

// restartDeadlocked restarts a gateway that deadlocked before a server answered its first heartbeat, which a server
// cannot prevent. Any other deadlock is the fault of a server.
func (w *world) restartDeadlocked(gateway *gatewaystandin.Gateway) error {
	if !gateway.DeadlockedBeforeHeartbeat() {
		return nil
	}
	w.report.count("gateways restarted that deadlocked before their first heartbeat", 1)
	return gateway.Restart()
}

func (w *world) checkGateway(ctx context.Context, gateway *gatewaystandin.Gateway) error {
	const (
		apis     = `SELECT api_id AS id, document -> 'api_definition' ->> 'name' AS text FROM apis WHERE active`
		policies = `SELECT policy_id AS id, document ->> 'name' AS text FROM policies`
	)
	return errors.Join(w.sameAsStored(ctx, "APIs", apis, gateway.APINames()),
		w.sameAsStored(ctx, "policies", policies, gateway.PolicyNames()))
}

// checkOrgKeys compares the organisation keys in the gateways' Redis with those of the database.
func (w *world) checkOrgKeys(ctx context.Context) error {
	client := redis.NewClient(w.redisOptions())
	defer client.Close()
	const prefix = "orgkey."
	has := map[string]string{}
	names := client.Scan(ctx, 0, prefix+"*", 0).Iterator()
	for names.Next(ctx) {
		text, err := client.Get(ctx, names.Val()).Bytes()
		if err != nil {
			return err
		}
		var session struct{ Tags []string }
		if err := json.Unmarshal(text, &session); err != nil {
			return err
		}
		has[strings.TrimPrefix(names.Val(), prefix)] = strings.Join(session.Tags, ",")
	}
	if err := names.Err(); err != nil {
		return err
	}
	const keys = `SELECT org_id AS id, session -> 'tags' ->> 0 AS text FROM org_keys`
	return w.sameAsStored(ctx, "organisation keys", keys, has)
}

// sameAsStored compares what gateways have, by ID, with what the query returns: the columns id and text.
func (w *world) sameAsStored(ctx context.Context, what, sql string, has map[string]string) error {
	rows, err := query(ctx, w.pair.Primary(), database,
		`SELECT coalesce(json_object_agg(id, text), '{}')::text FROM (`+sql+`) AS stored`)
	if err != nil {
		return err
	}
	var stored map[string]string
	if err := json.Unmarshal([]byte(rows[0]), &stored); err != nil {
		return err
	}
	for id, text := range has {
		if want, found := stored[id]; !found || text != want {
			return fmt.Errorf("%s: gateways have %s with %q, expected %q (\"\": it does not exist)", what, id, text, want)
		}
		delete(stored, id)
	}
	if len(stored) > 0 {
		return fmt.Errorf("%s: gateways have %d, and lack %d, such as %s", what, len(has), len(stored),
			slices.Sorted(maps.Keys(stored))[0])
	}
	return nil
}
