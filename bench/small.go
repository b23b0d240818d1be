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

// pgbench is the contender that is no server.
const pgbench = "pgbench"

// operation is a small request, and the same as a statement.
type operation struct {
	name string
	load load
	// script is what pgbench runs.
	script string
	// before makes it so that every contender finds the same; "" is nothing.
	before string
}

// operations are the small requests that are measured, on so many users.
func operations(users int) []operation {
	var created atomic.Int64
	anyone := func(r *rand.Rand) int { return r.IntN(users) }
	next := func(*rand.Rand) int { return int(created.Add(1)) }
	return []operation{
		{name: "get_user", load: load{getUser, anyone}, script: drawUser(users) + pgbenchGetUser},
		{name: "get_org", load: load{getOrganisation, anyone}, script: drawOrganisation + pgbenchGetOrganisation},
		{name: "allow_reset", load: load{allowReset, anyone}, script: drawUser(users) + pgbenchAllowReset, before: `VACUUM users`},
		{name: "create_user", load: load{createUser, next}, script: drawOrganisation + drawNew + pgbenchCreateUser},
		{name: "sso", load: load{signOn, anyone}, script: drawOrganisation + drawNew + pgbenchSignOn, before: `TRUNCATE sso_nonces`},
	}
}

// small measures small requests.
func (b *bench) small(ctx context.Context) (err error) {
	b.say("small requests: filling a database with %d users", b.users)
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
		b.report.add(prefix(name)+"idle_rss_mib", "MiB", float64(running[name].idle)/mebibyte)
	}
	for round := range b.rounds {
		b.say("small requests: round %d of %d", round+1, b.rounds)
		for _, op := range all {
			for _, connections := range b.connections {
				if err := b.smallRound(ctx, session, running, op, connections); err != nil {
					return fmt.Errorf("%s on %d connections: %w", op.name, connections, err)
				}
			}
		}
	}
	return nil
}

// smallRound has every contender answer once, and compares them.
func (b *bench) smallRound(
	ctx context.Context, session *pgx.Conn, running servers, op operation, connections int,
) error {
	seen, names := map[string]sample{}, contenders()
	if known, ok := b.statements[op.name+on(connections)]; ok && b.statementsOnce && connections > 1 {
		seen[pgbench] = known
	} else {
		names = append(names, pgbench)
	}
	for _, name := range shuffled(names) {
		if _, err := session.Exec(ctx, op.before); err != nil {
			return err
		}
		var err error
		if name == pgbench {
			seen[name], err = b.offerStatements(ctx, session.Config().ConnString(), op, connections)
		} else {
			seen[name], err = offer(ctx, running[name], connections, op.load, b.window)
		}
		if err != nil {
			return err
		}
	}
	b.statements[op.name+on(connections)] = seen[pgbench]
	b.noteSmall(op.name, connections, seen)
	return nil
}

// offerStatements runs pgbench for about a window. How many transactions fill it is known from the round before.
func (b *bench) offerStatements(ctx context.Context, conn string, op operation, connections int) (sample, error) {
	const fewest, guess = 20, 3_000 // a second
	rate := float64(guess)
	if before, known := b.statements[op.name+on(connections)]; known {
		rate = before.perSecond
	}
	return b.pgbench(ctx, conn, op.script, connections, max(fewest, int(rate*b.window.Seconds())/connections))
}

func (b *bench) noteSmall(op string, connections int, seen map[string]sample) {
	on := on(connections)
	for _, name := range append(contenders(), pgbench) {
		s, of := seen[name], prefix(name)+op
		b.report.add(of+"_per_s"+on, "requests/s", s.perSecond)
		b.report.add(of+"_p50_us"+on, "µs", micros(s.p50))
		if name == pgbench {
			continue // it tells the mean only, and is no server
		}
		b.report.add(of+"_p99_us"+on, "µs", micros(s.p99))
		b.report.add(of+"_cpu_us"+on, "µs", micros(s.cpu))
	}
	for _, name := range []string{gatehouse, stock, generated} {
		b.report.ratio(prefix(name)+op+"_vs_bare"+on, seen[name].perSecond, seen[bare].perSecond)
	}
	for _, name := range contenders() {
		b.report.ratio(prefix(name)+op+"_vs_pgbench"+on, seen[name].perSecond, seen[pgbench].perSecond)
	}
	b.report.ratio(op+"_vs_ogen"+on, seen[gatehouse].perSecond, seen[generated].perSecond)
}

// on stands behind the names of results on more than one connection.
func on(connections int) string {
	if connections == 1 {
		return ""
	}
	return "_" + strconv.Itoa(connections)
}

// choosePool finds the pool size at which bare does best with the most connections, reads and writes alike.
func (b *bench) choosePool(ctx context.Context, conn string, all []operation) error {
	best, chosen := 0.0, 0
	for _, size := range b.pools {
		b.pool = size
		score, err := b.scorePool(ctx, conn, all)
		if err != nil {
			return err
		}
		b.say("small requests: bare with a pool of %d has a score of %.0f", size, score)
		if score > best {
			best, chosen = score, size
		}
	}
	b.pool = chosen
	b.report.note("bare and ogen ran with a pool of %d, bare's best of %v", chosen, b.pools)
	return nil
}

// scorePool is the geometric mean of bare's requests per second for GET user and PUT allow_reset.
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
		s, err := offer(ctx, p, b.connections[len(b.connections)-1], op.load, b.window)
		if err != nil {
			return 0, err
		}
		score *= s.perSecond
	}
	return math.Sqrt(score), nil
}

// prefix stands before the names of a contender's results.
func prefix(name string) string {
	if name == gatehouse {
		return ""
	}
	return name + "_"
}

// shuffled is the order of a round.
func shuffled(names []string) []string {
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
