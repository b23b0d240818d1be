//go:build linux

package store_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// BenchmarkLookups compares look-ups of users by concurrent callers, who may share statements, with the same look-ups
// on the plain pool, at several round-trip times to the database. An iteration runs both for window, one after the
// other. It reports the look-ups per second (medians) and their ratio (minimum, median, maximum):
//
//	go test ./store -run '^$' -bench Lookups -benchtime 10x
func BenchmarkLookups(b *testing.B) {
	const users = 10_000
	connString := storetest.Database(b)
	storetest.Exec(b, connString, `
		INSERT INTO users (id, email_address, email_key, first_name, last_name, active, access_key, user_permissions,
			group_id, password_max_days, created_at)
		SELECT 'user ' || n, 'user' || n, 'user' || n, 'Ines', 'Okoro', true, 'key ' || n, '{"IsAdmin": "admin"}',
			'', 0, now()
		FROM generate_series(0, $1 - 1) AS n`, users)
	storetest.Exec(b, connString, `VACUUM ANALYZE users`)
	for _, roundTrip := range []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		b.Run("rtt="+roundTrip.String(), func(b *testing.B) {
			s := storetest.Open(b, delayed(b, connString, roundTrip))
			b.Cleanup(s.Close)
			for _, callers := range []int{1, 8, 32, 64} {
				b.Run("callers="+strconv.Itoa(callers), func(b *testing.B) {
					var plain, shared, ratios []float64
					for b.Loop() {
						without := lookupsPerSecond(b, callers, users, s.UserUnbatched)
						with := lookupsPerSecond(b, callers, users, s.User)
						plain, shared = append(plain, without), append(shared, with)
						ratios = append(ratios, with/without)
					}
					for _, sample := range [][]float64{plain, shared, ratios} {
						slices.Sort(sample)
					}
					b.ReportMetric(0, "ns/op") // the window
					b.ReportMetric(plain[len(plain)/2], "plain/s")
					b.ReportMetric(shared[len(shared)/2], "shared/s")
					b.ReportMetric(ratios[0], "min")
					b.ReportMetric(ratios[len(ratios)/2], "ratio")
					b.ReportMetric(ratios[len(ratios)-1], "max")
				})
			}
		})
	}
}

func lookupsPerSecond(
	b *testing.B, callers, users int, lookUp func(context.Context, string) (store.User, error),
) float64 {
	b.Helper()
	const window = 400 * time.Millisecond
	const step = 7919 // a prime number: callers look up users in an order that is like a random one
	var total atomic.Int64
	var running sync.WaitGroup
	began := time.Now()
	for caller := range callers {
		running.Go(func() {
			for n := caller; time.Since(began) < window; n = (n + step) % users {
				if _, err := lookUp(b.Context(), "user "+strconv.Itoa(n)); err != nil {
					b.Error(err)
					return
				}
				total.Add(1)
			}
		})
	}
	running.Wait()
	return float64(total.Load()) / time.Since(began).Seconds()
}

// delayed returns a connection string of a proxy of the database that delays what it forwards, so that a round trip
// takes longer by a duration.
func delayed(b *testing.B, connString string, roundTrip time.Duration) string {
	b.Helper()
	if roundTrip == 0 {
		return connString
	}
	cfg, err := pgx.ParseConfig(connString)
	require.NoError(b, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	var proxy sync.WaitGroup
	b.Cleanup(func() {
		listener.Close()
		proxy.Wait()
	})
	proxy.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
			database, err := net.Dial(network, address)
			if err != nil {
				b.Error(err)
				client.Close()
				continue
			}
			proxy.Go(func() { forward(database, client, roundTrip/2) })
			proxy.Go(func() { forward(client, database, roundTrip/2) })
		}
	})
	address := listener.Addr().(*net.TCPAddr)
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable", address.Port, cfg.User, cfg.Database)
}

// forward copies from one connection to another, each part after a delay, and closes both at the end.
func forward(to, from net.Conn, delay time.Duration) {
	type part struct {
		data []byte
		due  time.Time
	}
	parts := make(chan part, 1000)
	var writing sync.WaitGroup
	writing.Go(func() {
		defer to.Close()
		for p := range parts {
			// Not time.Sleep, which is too long by up to a millisecond when nothing else runs.
			if wait := syscall.NsecToTimespec(int64(time.Until(p.due))); wait.Nano() > 0 {
				_ = syscall.Nanosleep(&wait, nil) // a signal shortens it
			}
			if _, err := to.Write(p.data); err != nil {
				from.Close()
			}
		}
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			parts <- part{slices.Clone(buffer[:n]), time.Now().Add(delay)}
		}
		if err != nil {
			break
		}
	}
	close(parts)
	writing.Wait()
}
