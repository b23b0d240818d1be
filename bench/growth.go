package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// grown is a database with so many users, and the servers on it.
type grown struct {
	users   int
	conn    string
	running servers
}

// growing are the requests whose cost must not grow with the number of users.
var growing = []struct {
	name    string
	request request
	servers []string
}{
	{"get_user", getUser, []string{gatehouse, bare, stock}},
	{"email", findByEmail, []string{gatehouse}},
	{"access_key", getSelf, []string{gatehouse}},
	{"allow_reset", allowReset, []string{gatehouse, bare, stock}},
}

// grow measures what a request costs among few users and among many. All databases are there at once, so that a round
// can go through them.
func (b *bench) grow(ctx context.Context) (err error) {
	var sizes []grown
	defer func() {
		for _, size := range sizes {
			err = errors.Join(err, size.running.stop(ctx), b.drop(ctx, growthDatabase(size.users)))
		}
	}()
	for _, users := range b.growth {
		b.say("growth: filling a database with %d users", users)
		size, err := b.growTo(ctx, users)
		if err != nil {
			return err
		}
		sizes = append(sizes, size)
	}
	for round := range b.rounds {
		b.say("growth: round %d of %d", round+1, b.rounds)
		if err := b.growthRound(ctx, sizes); err != nil {
			return err
		}
	}
	return nil
}

func growthDatabase(users int) string { return "growth_" + strconv.Itoa(users) }

func (b *bench) growTo(ctx context.Context, users int) (grown, error) {
	conn, err := b.database(ctx, growthDatabase(users))
	if err != nil {
		return grown{}, err
	}
	if err := fill(ctx, conn, owners, users); err != nil {
		return grown{}, err
	}
	running, err := b.startAll(ctx, conn, gatehouse, bare, stock)
	return grown{users: users, conn: conn, running: running}, err
}

func (b *bench) growthRound(ctx context.Context, sizes []grown) error {
	for _, op := range growing {
		for _, name := range op.servers {
			p50 := map[int]time.Duration{}
			for _, i := range rand.Perm(len(sizes)) {
				size := sizes[i]
				anyone := func(r *rand.Rand) int { return r.IntN(size.users) }
				s, err := offer(ctx, size.running[name], 1, load{op.request, anyone}, b.window)
				if err != nil {
					return fmt.Errorf("growth: %s among %d users: %w", op.name, size.users, err)
				}
				p50[size.users] = s.p50
				b.report.add(growthPoint(name, op.name, size.users), "µs", micros(s.p50))
			}
			few, many := sizes[0].users, sizes[len(sizes)-1].users
			b.report.ratio(prefix(name)+op.name+"_growth", float64(p50[many]), float64(p50[few]))
		}
	}
	return nil
}

// growthPoint names the median time of a request among so many users.
func growthPoint(server, op string, users int) string {
	return sized(prefix(server)+op+"_growth_p50_us", users)
}
