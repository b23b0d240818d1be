package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// pgbench is the contender that runs statements without a server.
const pgbench = "pgbench"

// operation is a small request.
type operation struct {
	name string
	load load
	// script is the script of pgbench with the same statement.
	script string
	// reset is a statement that restores the same state for every contender; "" is none.
	reset string
}

// operations returns the operations to measure with a number of users.
func operations(users int) []operation {
	var created atomic.Int64
	anyUser := func(r *rand.Rand) int { return r.IntN(users) }
	next := func(*rand.Rand) int { return int(created.Add(1)) }
	return []operation{
		{name: "get_user", load: load{getUser, anyUser}, script: drawUser(users) + pgbenchGetUser},
		{name: "get_org", load: load{getOrganisation, anyUser}, script: drawOrganisation + pgbenchGetOrganisation},
		{
			name: "allow_reset", load: load{allowReset, anyUser}, script: drawUser(users) + pgbenchAllowReset,
			reset: `VACUUM users`,
		},
		{name: "create_user", load: load{createUser, next}, script: drawOrganisation + drawNew + pgbenchCreateUser},
		{
			name: "sso", load: load{signOn, anyUser}, script: drawOrganisation + drawNew + pgbenchSignOn,
			reset: `TRUNCATE sso_nonces`,
		},
	}
}

// measureSmall measures small requests.
func (b *bench) measureSmall(ctx context.Context) (err error) {
	b.progressf("small requests: filling a database with %d users", b.users)
	conn, err := b.database(ctx, "small")
	if err != nil {
		return err
	}
	if err := fill(ctx, conn, owners, b.users); err != nil {
		return err
	}
	all := operations(b.users)
	if err := b.choosePool(ctx, conn, all); err != nil {
		return err
	}
	running, err := b.startAll(ctx, conn, contenders()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.stop(ctx), b.drop(ctx, "small")) }()
	session, err := pgx.Connect(ctx, conn)
	if err != nil {
		return err
	}
	defer session.Close(ctx)
	for _, name := range contenders() {
		b.report.add(resultPrefix(name)+"idle_rss_mib", "MiB", float64(running[name].idle)/mebibyte)
	}
	for round := range b.rounds {
		b.progressf("small requests: round %d of %d", round+1, b.rounds)
		for _, op := range all {
			for _, connections := range b.connections {
				if err := b.smallRound(ctx, smallRun{session, running, connections}, op); err != nil {
					return fmt.Errorf("%s on %d connections: %w", op.name, connections, err)
				}
			}
		}
	}
	return nil
}

// smallRun is what small requests are sent to.
type smallRun struct {
	session     *pgx.Conn // resets the state before each contender
	running     servers
	connections int
}

// smallRound measures an operation once with each contender.
func (b *bench) smallRound(ctx context.Context, run smallRun, op operation) error {
	samples, names := map[string]sample{}, contenders()
	key := op.name + connectionSuffix(run.connections)
	if earlier, ok := b.pgbenchSamples[key]; ok && b.pgbenchOnce && run.connections > 1 {
		samples[pgbench] = earlier
	} else {
		names = append(names, pgbench)
	}
	for _, name := range shuffled(names) {
		if _, err := run.session.Exec(ctx, op.reset); err != nil {
			return err
		}
		var err error
		if name == pgbench {
			samples[name], err = b.runPgbench(ctx, run.session.Config().ConnString(), op, run.connections)
		} else {
			samples[name], err = op.load.apply(ctx, run.running[name], run.connections, b.window)
		}
		if err != nil {
			return err
		}
	}
	b.pgbenchSamples[key] = samples[pgbench]
	b.recordSmall(op.name, run.connections, samples)
	return nil
}

// runPgbench runs the script of an operation for about a window. The rate in the round before gives the number of
// transactions.
func (b *bench) runPgbench(ctx context.Context, conn string, op operation, connections int) (sample, error) {
	const minTransactions, firstRate = 20, 3_000
	rate := float64(firstRate)
	if earlier, ok := b.pgbenchSamples[op.name+connectionSuffix(connections)]; ok {
		rate = earlier.perSecond
	}
	transactions := max(minTransactions, int(rate*b.window.Seconds())/connections)
	return b.pgbench(ctx, conn, pgbenchRun{op.script, connections, transactions})
}

// recordSmall adds the results of a round to the report.
func (b *bench) recordSmall(op string, connections int, samples map[string]sample) {
	suffix := connectionSuffix(connections)
	for _, name := range append(contenders(), pgbench) {
		s, base := samples[name], resultPrefix(name)+op
		b.report.add(base+"_per_s"+suffix, "requests/s", s.perSecond)
		b.report.add(base+"_p50_us"+suffix, "µs", micros(s.p50))
		if name == pgbench {
			continue // its p50 is the mean, and it has no p99
		}
		b.report.add(base+"_p99_us"+suffix, "µs", micros(s.p99))
		b.report.add(base+"_cpu_us"+suffix, "µs", micros(s.cpu))
	}
	for _, name := range []string{gatehouse, stock, ogen} {
		b.report.ratio(resultPrefix(name)+op+"_vs_bare"+suffix, samples[name].perSecond, samples[bare].perSecond)
	}
	for _, name := range contenders() {
		b.report.ratio(resultPrefix(name)+op+"_vs_pgbench"+suffix, samples[name].perSecond, samples[pgbench].perSecond)
	}
	b.report.ratio(op+"_vs_ogen"+suffix, samples[gatehouse].perSecond, samples[ogen].perSecond)
}

// connectionSuffix ends the names of results on more than one connection.
func connectionSuffix(connections int) string {
	if connections == 1 {
		return ""
	}
	return "_" + strconv.Itoa(connections)
}

// choosePool finds the pool size at which bare is fastest with the most connections, for reads and writes together.
func (b *bench) choosePool(ctx context.Context, conn string, all []operation) error {
	best, chosen := 0.0, 0
	for _, size := range b.pools {
		b.pool = size
		score, err := b.scorePool(ctx, conn, all)
		if err != nil {
			return err
		}
		b.progressf("small requests: bare with a pool of %d: %.0f requests/s (mean of a read and a write)", size, score)
		if score > best {
			best, chosen = score, size
		}
	}
	b.pool = chosen
	b.report.note("bare and ogen have a pool of %d connections, at which bare was fastest (of %v)", chosen, b.pools)
	return nil
}

// scorePool returns the geometric mean of the requests per second of bare for GET user and PUT allow_reset.
func (b *bench) scorePool(ctx context.Context, conn string, all []operation) (_ float64, err error) {
	p, err := b.start(ctx, bare, conn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.stop(ctx)) }()
	score := 1.0
	for _, op := range all {
		if op.name != "get_user" && op.name != "allow_reset" {
			continue
		}
		s, err := op.load.apply(ctx, p, b.connections[len(b.connections)-1], b.window)
		if err != nil {
			return 0, err
		}
		score *= s.perSecond
	}
	return math.Sqrt(score), nil
}

// resultPrefix begins the names of the results of a contender.
func resultPrefix(name string) string {
	if name == gatehouse {
		return ""
	}
	return name + "_"
}

// shuffled shuffles names in place and returns them.
func shuffled(names []string) []string {
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
