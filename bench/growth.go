package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// growthServers is a database with a number of users, and the servers that use it.
type growthServers struct {
	users   int
	conn    string
	running servers
}

// growthOperations are the requests that must not become slower with the number of users.
var growthOperations = []struct {
	name    string
	request request
	servers []string
}{
	{"get_user", getUser, []string{gatehouse, bare, stock}},
	{"email", findByEmail, []string{gatehouse}},
	{"access_key", getSelf, []string{gatehouse}},
	{"allow_reset", allowReset, []string{gatehouse, bare, stock}},
}

// measureGrowth measures the duration of requests by number of users. All databases exist at once, so that each round
// measures all of them.
func (b *bench) measureGrowth(ctx context.Context) (err error) {
	var sizes []growthServers
	defer func() {
		for _, size := range sizes {
			err = errors.Join(err, size.running.stop(ctx), b.drop(ctx, growthDatabaseName(size.users)))
		}
	}()
	for _, users := range b.growth {
		b.progressf("growth: filling a database with %d users", users)
		size, err := b.openGrowthDatabase(ctx, users)
		if err != nil {
			return err
		}
		sizes = append(sizes, size)
	}
	for round := range b.rounds {
		b.progressf("growth: round %d of %d", round+1, b.rounds)
		if err := b.growthRound(ctx, sizes); err != nil {
			return err
		}
	}
	return nil
}

func growthDatabaseName(users int) string { return "growth_" + strconv.Itoa(users) }

// openGrowthDatabase creates a database with a number of users, and starts the servers.
func (b *bench) openGrowthDatabase(ctx context.Context, users int) (growthServers, error) {
	conn, err := b.database(ctx, growthDatabaseName(users))
	if err != nil {
		return growthServers{}, err
	}
	if err := fill(ctx, conn, owners, users); err != nil {
		return growthServers{}, err
	}
	running, err := b.startAll(ctx, conn, gatehouse, bare, stock)
	return growthServers{users: users, conn: conn, running: running}, err
}

// growthRound measures each operation of each server once with each number of users.
func (b *bench) growthRound(ctx context.Context, sizes []growthServers) error {
	for _, op := range growthOperations {
		for _, name := range op.servers {
			p50 := map[int]time.Duration{}
			for _, i := range rand.Perm(len(sizes)) {
				size := sizes[i]
				anyUser := func(r *rand.Rand) int { return r.IntN(size.users) }
				s, err := load{op.request, anyUser}.apply(ctx, size.running[name], 1, b.window)
				if err != nil {
					return fmt.Errorf("growth: %s with %d users: %w", op.name, size.users, err)
				}
				p50[size.users] = s.p50
				b.report.add(growthResult(name, op.name, size.users), "µs", micros(s.p50))
			}
			few, many := sizes[0].users, sizes[len(sizes)-1].users
			b.report.ratio(resultPrefix(name)+op.name+"_growth", float64(p50[many]), float64(p50[few]))
		}
	}
	return nil
}

// growthResult returns the name of the result of an operation with a number of users.
func growthResult(server, op string, users int) string {
	return withSize(resultPrefix(server)+op+"_growth_p50_us", users)
}
