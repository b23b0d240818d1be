package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// fleetUsers is how many users the database of a fleet has, and apisPerPolicy how many APIs to each policy.
	fleetUsers    = 1_000
	apisPerPolicy = 20
	// gatewayConnections is how many connections a gateway has at most, while it pings during a reload.
	gatewayConnections = 2
	// otherFiles are the files and connections that a program has besides.
	otherFiles = 1_000
)

// fleetRun measures fleets of gateways with a number of APIs.
type fleetRun struct {
	*bench
	apis int
	// connections is the maximum number of connections of a gateway.
	connections int
	conn        string
	session     *pgx.Conn
	server      *process
	// gateways are the simulated gateways.
	gateways *fleet
	// counted is whether Postgres counts statements.
	counted bool
	// changes is how many changes were made.
	changes int
}

// measureFleets measures what fleets of simulated gateways cost.
func (b *bench) measureFleets(ctx context.Context) error {
	counted, err := b.countStatements(ctx)
	if err != nil {
		return err
	}
	most := slices.Max(b.fleet.gateways)
	connections := gatewayConnections
	if err := allowFiles(uint64(connections*most + otherFiles)); err != nil {
		connections = 1
		b.report.note("each gateway has one connection, and does not ping during a reload: %d files are not allowed: %v",
			gatewayConnections*most+otherFiles, err)
	}
	for _, n := range b.fleet.apis {
		run := &fleetRun{bench: b, apis: n, connections: connections, counted: counted}
		if err := run.measure(ctx); err != nil {
			return fmt.Errorf("fleet with %d APIs: %w", n, err)
		}
	}
	b.aliasFleets()
	return nil
}

// countStatements has Postgres count statements, if it has the extension for that. No part of a run follows this one.
func (b *bench) countStatements(ctx context.Context) (available bool, err error) {
	conn, err := pgx.Connect(ctx, b.cluster.ConnString())
	if err != nil {
		return false, err
	}
	const sql = `SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')`
	err = errors.Join(conn.QueryRow(ctx, sql).Scan(&available), conn.Close(ctx))
	if err != nil || !available {
		b.report.note("statements of fleets are not counted: this Postgres has no pg_stat_statements")
		return false, err
	}
	return true, b.reconfigure(ctx, `ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'`)
}

// fleetResult returns the name of a result for numbers of APIs and gateways.
func fleetResult(name string, apis, gateways int) string {
	return withSize(withSize(name, apis), gateways)
}

// aliasFleets adds results without sizes in their names: those of the sizes that the targets are for, or else of the
// largest.
func (b *bench) aliasFleets() {
	pick := func(sizes []int, wanted int) int {
		if slices.Contains(sizes, wanted) {
			return wanted
		}
		return slices.Max(sizes)
	}
	apis := pick(b.fleet.apis, targetAPIs)
	gateways, idle := pick(b.fleet.gateways, targetGateways), pick(b.fleet.gateways, targetIdleGateways)
	for _, name := range []string{
		"fleet_change_s", "fleet_change_net_s", "fleet_list_reads", "fleet_peak_rss_mib", "fleet_get_user_p99_ratio",
	} {
		b.report.alias(name, fleetResult(name, apis, gateways))
	}
	b.report.alias("fleet_idle_cores", fleetResult("fleet_idle_cores", apis, idle))
}

// measure measures all numbers of gateways with a number of APIs.
func (run *fleetRun) measure(ctx context.Context) (err error) {
	database := withSize("fleet", run.apis)
	if err := run.fill(ctx, database); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.session.Close(ctx), run.drop(ctx, database)) }()
	stop, err := run.startServer(ctx)
	if err != nil {
		return err
	}
	defer func() {
		run.noteFailures()
		err = errors.Join(err, stop())
	}()
	if err := run.importDocuments(ctx); err != nil {
		return err
	}
	if err := run.measureAnswers(ctx); err != nil {
		return err
	}
	for _, gateways := range run.fleet.gateways {
		switch err := run.measureGateways(ctx, gateways); {
		case errors.Is(err, errTooSlow):
			return nil // so are more gateways
		case err != nil:
			return fmt.Errorf("%d gateways: %w", gateways, err)
		}
	}
	return nil
}

// errTooSlow is returned for gateways whose start or change takes longer than the plan allows.
var errTooSlow = errors.New("the limit of time is over")

// fill creates a database with users.
func (run *fleetRun) fill(ctx context.Context, database string) (err error) {
	run.progressf("fleet: filling a database for %d APIs", run.apis)
	if run.conn, err = run.database(ctx, database); err != nil {
		return err
	}
	if err := fill(ctx, run.conn, owners, fleetUsers); err != nil {
		return err
	}
	if run.session, err = pgx.Connect(ctx, run.conn); err != nil || !run.counted {
		return err
	}
	_, err = run.session.Exec(ctx, `CREATE EXTENSION pg_stat_statements`)
	return err
}

// startServer starts gatehouse, and an empty fleet that it notifies through a control API.
func (run *fleetRun) startServer(ctx context.Context) (stop func() error, err error) {
	run.gateways = newFleet(ctx, fleetConfig{
		pingInterval: run.fleet.pingInterval, reloadInterval: run.fleet.reloadInterval, connections: run.connections,
		apis: newKnownLists(run.apis), policies: newKnownLists(run.policies()), count: &fleetCounts{},
	})
	control, err := startControlAPI(ctx, run.gateways.notify)
	if err != nil {
		return nil, err
	}
	cmd := run.command(gatehouse, run.conn)
	// All gateways are on one address here, and there are more than the default allows.
	cmd.Args = append(cmd.Args, "--max-connections=0", "--max-connections-per-address=0")
	cmd.Args = append(cmd.Args, control.flags()...)
	if run.server, err = run.startCommand(ctx, gatehouse, cmd); err != nil {
		return nil, errors.Join(err, control.close())
	}
	run.gateways.cfg.url = "http://" + run.server.address
	return func() error {
		run.gateways.stop()
		return errors.Join(run.server.stop(ctx), control.close())
	}, nil
}

// policies returns how many policies there are.
func (run *fleetRun) policies() int { return max(1, run.apis/apisPerPolicy) }

// importDocuments imports the APIs and policies.
func (run *fleetRun) importDocuments(ctx context.Context) error {
	small := apis()
	small.document = fleetAPIDocument
	for _, part := range []struct {
		kind
		n int
	}{{small, run.apis}, {policies(), run.policies()}} {
		documents, err := part.write(run.dir, part.n)
		if err != nil {
			return err
		}
		sent, err := upload(ctx, run.server, part.path+"/import", documents.body)
		documents.remove()
		if err != nil {
			return err
		}
		if sent.status != http.StatusOK {
			return fmt.Errorf("import of %d %s: status %d: %s", part.n, part.table, sent.status, sent.body)
		}
	}
	return execute(ctx, run.conn, "VACUUM ANALYZE", "CHECKPOINT")
}

// measureGateways measures a number of gateways.
func (run *fleetRun) measureGateways(ctx context.Context, n int) error {
	run.progressf("fleet: %d APIs, starting %d gateways", run.apis, n)
	started := time.Now()
	switch err := run.gateways.grow(n, run.fleet.startLimit); {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		run.report.note("%d APIs: %d gateways had not all started after %s", run.apis, n, run.fleet.startLimit)
		return errTooSlow
	case err != nil:
		return err
	}
	run.add(n, "fleet_start_s", "s", time.Since(started).Seconds())
	if err := run.settle(ctx); err != nil {
		return err
	}
	for round := range run.rounds {
		run.progressf("fleet: %d APIs, %d gateways: round %d of %d", run.apis, n, round+1, run.rounds)
		if err := run.idleRound(ctx, n); err != nil {
			return err
		}
		if err := run.changeRound(ctx, n); err != nil {
			return err
		}
		if err := run.stormRound(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// noteFailures notes what failed for the gateways.
func (run *fleetRun) noteFailures() {
	count := run.gateways.cfg.count
	if pings, reloads := count.failedPings.Load(), count.failedReload.Load(); pings+reloads > 0 {
		run.report.note("%d APIs: %d pings and %d reloads of gateways failed, the last with: %s",
			run.apis, pings, reloads, *count.lastFailure.Load())
	}
}

// add adds a result for a number of gateways.
func (run *fleetRun) add(gateways int, name, unit string, value float64) {
	run.report.add(fleetResult(name, run.apis, gateways), unit, value)
}

// settle waits until the gateways have finished the reloads that they were notified of.
func (run *fleetRun) settle(ctx context.Context) error {
	const intervals = 3 // one in which gateways gather notices, and two for the reload
	sleep(ctx, intervals*run.fleet.reloadInterval)
	return ctx.Err()
}

// idleRound measures the CPU time that gateways cost that only ping.
func (run *fleetRun) idleRound(ctx context.Context, n int) error {
	pings, started := run.gateways.cfg.count.pings.Load(), time.Now()
	server, postgres := cpuTime(run.server.handle.Pid), run.postgresCPU()
	if !sleep(ctx, run.fleet.window) {
		return ctx.Err()
	}
	elapsed := time.Since(started)
	perMinute := func(used time.Duration) float64 { return used.Seconds() * time.Minute.Seconds() / elapsed.Seconds() }
	server, postgres = cpuTime(run.server.handle.Pid)-server, run.postgresCPU()-postgres
	run.add(n, "fleet_idle_server_cpu", "s/min", perMinute(server))
	run.add(n, "fleet_idle_postgres_cpu", "s/min", perMinute(postgres))
	run.add(n, "fleet_idle_cores", "cores", (server+postgres).Seconds()/elapsed.Seconds())
	run.add(n, "fleet_idle_rss_mib", "MiB", float64(residentMemory(run.server.handle.Pid))/mebibyte)
	run.add(n, "fleet_pings_per_s", "pings/s", float64(run.gateways.cfg.count.pings.Load()-pings)/elapsed.Seconds())
	return nil
}

// changeRound changes one API and measures how and when the gateways have the change.
func (run *fleetRun) changeRound(ctx context.Context, n int) error {
	run.gateways.forgetLoads()
	before, err := run.statements(ctx)
	if err != nil {
		return err
	}
	if err := resetPeak(run.server.handle.Pid); err != nil {
		return err
	}
	received, server := run.gateways.cfg.count.received.Load(), cpuTime(run.server.handle.Pid)
	postgres := run.postgresCPU()
	committed, err := run.change(ctx)
	if err != nil {
		return err
	}
	a, err := run.gateways.await(run.changes, committed, run.fleet.limit)
	if err != nil {
		return err
	}
	run.add(n, "fleet_peak_rss_mib", "MiB", float64(peakMemory(run.server.handle.Pid))/mebibyte)
	if a.have < n {
		run.report.note("%d APIs, %d gateways: %d of them had a change after %s",
			run.apis, n, a.have, run.fleet.limit)
		return errTooSlow
	}
	run.add(n, "fleet_change_s", "s", a.last.Seconds())
	run.add(n, "fleet_change_net_s", "s", a.lastNet.Seconds())
	run.add(n, "fleet_change_median_s", "s", a.median.Seconds())
	run.add(n, "fleet_change_server_cpu_s", "s", (cpuTime(run.server.handle.Pid) - server).Seconds())
	run.add(n, "fleet_change_postgres_cpu_s", "s", (run.postgresCPU() - postgres).Seconds())
	run.add(n, "fleet_change_sent_mib", "MiB", float64(run.gateways.cfg.count.received.Load()-received)/mebibyte)
	return run.addStatements(ctx, n, before)
}

// statements are what Postgres has counted of a database.
type statements struct {
	all int64 // statements
	// ofAPIs are statements that read several documents of APIs, and apis how many documents they read.
	ofAPIs, apis int64
}

// statements returns what Postgres has counted since the start of the run.
func (run *fleetRun) statements(ctx context.Context) (s statements, err error) {
	if !run.counted {
		return s, nil
	}
	const sql = `
		SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(calls) FILTER (WHERE of_apis), 0)::bigint,
			coalesce(sum(rows) FILTER (WHERE of_apis), 0)::bigint
		FROM (SELECT calls, rows, query ~* '\mselect\M.*(?<!\()\mdocument\M.*\mfrom\s+apis\M'
				AND rows > calls AS of_apis
			FROM pg_stat_statements
			WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())) AS counted`
	return s, run.session.QueryRow(ctx, sql).Scan(&s.all, &s.ofAPIs, &s.apis)
}

// addStatements adds what Postgres has counted since before.
func (run *fleetRun) addStatements(ctx context.Context, n int, before statements) error {
	after, err := run.statements(ctx)
	if err != nil || !run.counted {
		return err
	}
	run.add(n, "fleet_statements", "statements", float64(after.all-before.all))
	run.add(n, "fleet_list_statements", "statements", float64(after.ofAPIs-before.ofAPIs))
	run.add(n, "fleet_list_reads", "lists", float64(after.apis-before.apis)/float64(run.apis))
	return nil
}

// change gives an API another name, and returns when that was committed.
func (run *fleetRun) change(ctx context.Context) (committed time.Time, err error) {
	const step = 7919 // a prime: changes are of APIs in all parts of the list
	n := run.changes * step % run.apis
	if run.changes++; n%2 == 0 { // a Tyk OAS API, of which this operation changes none
		n = (n + 1) % run.apis
	}
	columns, document := fleetAPIDocument(n)
	document = bytes.Replace(document, fmt.Appendf(nil, `"name":"Tide tables %d"`, n),
		fmt.Appendf(nil, `"name":"%s%d"`, changePrefix, run.changes), 1)
	url := run.gateways.cfg.url + "/api/apis/" + columns[0]
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(document))
	if err != nil {
		return committed, err
	}
	r.Header.Set("Authorization", accessKey(n%owners)) // a user of its organisation
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return committed, err
	}
	committed = time.Now()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("PUT /api/apis: %s: %s", response.Status, text)
	}
	return committed, err
}

// stormRound measures small requests while nothing else happens but pings, and while gateways fetch because something
// changes each second.
func (run *fleetRun) stormRound(ctx context.Context, n int) error {
	if err := run.settle(ctx); err != nil {
		return err
	}
	rest, err := run.probe(ctx)
	if err != nil {
		return err
	}
	stormCtx, end := context.WithCancel(ctx)
	changing := make(chan error, 1)
	go func() { changing <- run.changeUntil(stormCtx) }()
	storm, err := run.probe(ctx)
	end()
	if err := errors.Join(err, <-changing); err != nil {
		return err
	}
	run.add(n, "fleet_get_user_p50_rest_us", "µs", rest.p50)
	run.add(n, "fleet_get_user_p50_storm_us", "µs", storm.p50)
	run.add(n, "fleet_get_user_p99_rest_us", "µs", rest.p99)
	run.add(n, "fleet_get_user_p99_storm_us", "µs", storm.p99)
	run.report.ratio(fleetResult("fleet_get_user_p99_ratio", run.apis, n), storm.p99, rest.p99)
	return run.settle(ctx)
}

// changeUntil changes an API every interval of reloads, until ctx ends.
func (run *fleetRun) changeUntil(ctx context.Context) error {
	for {
		if _, err := run.change(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		if !sleep(ctx, run.fleet.reloadInterval) {
			return nil
		}
	}
}

// probed are percentiles in microseconds.
type probed struct{ p50, p99 float64 }

// probe sends requests for users for a window.
func (run *fleetRun) probe(ctx context.Context) (p probed, err error) {
	url := "http://" + run.server.address + "/admin/users/" + userPrefix
	cmd := exec.CommandContext(ctx, run.executable(prober), "-url", url, "-first", strconv.Itoa(firstNumber),
		"-numbers", strconv.Itoa(fleetUsers), "-window", run.fleet.window.String())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return p, fmt.Errorf("prober: %w: %s", err, errs.String())
	}
	_, err = fmt.Sscan(string(out), &p.p50, &p.p99)
	return p, err
}
