package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

func BenchmarkLookups(b *testing.B) {
	conn := storetest.Database(b)
	fill := storetest.Open(b, conn)
	storetest.Exec(b, conn, `INSERT INTO users (id, email_address, email_key, first_name, last_name, active, access_key, user_permissions, group_id, password_max_days, created_at)
		SELECT 'user'||n, 'e'||n, 'e'||n, 'Ines', 'Okoro', true, 'key'||n, '{"IsAdmin":"admin"}', '', 0, now() FROM generate_series(0, 9999) AS n`)
	storetest.Exec(b, conn, `VACUUM ANALYZE users`)
	fill.Close()
	for _, rtt := range []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		s := storetest.Open(b, delayed(b, conn, rtt))
		b.Cleanup(s.Close)
		for _, callers := range []int{1, 8, 32, 64} {
			b.Run(fmt.Sprintf("rtt=%s/callers=%d", rtt, callers), func(b *testing.B) {
				b.ReportAllocs()
				var ratios, plain, batched []float64
				for b.Loop() {
					p := throughput(b, callers, s.UserUnbatched)
					w := throughput(b, callers, s.User)
					plain, batched, ratios = append(plain, p), append(batched, w), append(ratios, w/p)
				}
				for _, l := range [][]float64{ratios, plain, batched} {
					slices.Sort(l)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(ratios[0], "min")
				b.ReportMetric(ratios[len(ratios)/2], "median")
				b.ReportMetric(ratios[len(ratios)-1], "max")
				b.ReportMetric(plain[len(plain)/2], "plain/s")
				b.ReportMetric(batched[len(batched)/2], "batched/s")
			})
		}
	}
}

func throughput(b *testing.B, callers int, get func(context.Context, string) (store.User, error)) float64 {
	const window = 400 * time.Millisecond
	var n atomic.Int64
	var group sync.WaitGroup
	begin := time.Now()
	for i := range callers {
		group.Go(func() {
			for k := i * 31; time.Since(begin) < window; k = (k + 7919) % 10000 {
				if _, err := get(b.Context(), "user"+strconv.Itoa(k)); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	group.Wait()
	return float64(n.Load()) / time.Since(begin).Seconds()
}

// delayed forwards connections to the database, each direction delayed by half of rtt.
func delayed(b *testing.B, connString string, rtt time.Duration) string {
	if rtt == 0 {
		return connString
	}
	cfg, err := pgx.ParseConfig(connString)
	require.NoError(b, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			network, address := pgconnNetwork(cfg)
			up, err := net.Dial(network, address)
			if err != nil {
				b.Error(err)
				return
			}
			go forward(up, c, rtt/2)
			go forward(c, up, rtt/2)
		}
	}()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable", host, port, cfg.User, cfg.Database)
}

func pgconnNetwork(cfg *pgx.ConnConfig) (string, string) {
	return "unix", cfg.Host + "/.s.PGSQL." + strconv.Itoa(int(cfg.Port))
}

func forward(to, from net.Conn, delay time.Duration) {
	type chunk struct {
		data []byte
		due  time.Time
	}
	chunks := make(chan chunk, 1000)
	go func() {
		defer to.Close()
		for c := range chunks {
			time.Sleep(time.Until(c.due))
			if _, err := to.Write(c.data); err != nil {
				return
			}
		}
	}()
	defer close(chunks)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			chunks <- chunk{slices.Clone(buf[:n]), time.Now().Add(delay)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return
			}
			return
		}
	}
}
