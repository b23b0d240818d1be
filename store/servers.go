package store

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/singleflight"
)

// Timeouts of connecting, unless the connection string has connect_timeout. With one server, it is longer than a slow
// network needs for TLS and a password; with several, another one may be ready.
const (
	connectTimeout       = 5 * time.Second
	connectTimeoutOfMany = 2 * time.Second
	// cancelTimeout bounds the end of a connection whose statement has reached its deadline: Postgres is asked to cancel
	// the statement, and acknowledges. The connection occupies its place in the pool until then.
	cancelTimeout = 500 * time.Millisecond
)

// server is a server that a connection string names. It has the host, the port, and what pgx tries for it, such as
// without TLS after with TLS.
type server struct {
	host      string
	port      uint16
	tls       *tls.Config
	fallbacks []*pgconn.FallbackConfig
}

func (s *server) address() string { return addressOf(s.host, s.port) }

func addressOf(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// configure makes a connection one to the server.
func (s *server) configure(config *pgx.ConnConfig) {
	config.Host, config.Port, config.TLSConfig, config.Fallbacks = s.host, s.port, s.tls, s.fallbacks
}

// servers are the servers of a connection string, of which one has what target_session_attrs requests: the primary.
// All of them are asked at the same time, so that one that does not answer delays nothing. When another one has become
// the primary, connections to the others are closed, even those that wait for an answer.
type servers struct {
	all     []*server
	primary atomic.Pointer[server] // the last that was found; nil: none
	suspect atomic.Bool            // whether connecting to primary has failed since
	search  singleflight.Group
	pool    atomic.Pointer[pgxpool.Pool] // nil before there is one

	mu   sync.Mutex           // guards open; nothing waits while it is held
	open map[*pgx.Conn]string // the address of each connection of the pool
}

// errMoved is the error of a connection to a server that has ceased to be the primary.
var errMoved = errors.New("another server has become the primary")

// newServers returns the servers of a configuration, and gives it the timeouts that it lacks. If there are several, and
// the connection string does not say which one it is about, it is the one that accepts writes.
func newServers(config *pgx.ConnConfig) *servers {
	s := &servers{open: map[*pgx.Conn]string{}}
	s.all = []*server{{host: config.Host, port: config.Port, tls: config.TLSConfig}}
	for _, next := range config.Fallbacks {
		last := s.all[len(s.all)-1]
		if next.Host == last.host && next.Port == last.port {
			last.fallbacks = append(last.fallbacks, next)
			continue
		}
		s.all = append(s.all, &server{host: next.Host, port: next.Port, tls: next.TLSConfig})
	}
	timeout := connectTimeout
	if len(s.all) > 1 {
		timeout = connectTimeoutOfMany
		if config.ValidateConnect == nil {
			config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = timeout
	}
	return s
}

// connect connects to the primary, which it searches, and returns a connection that is not one of the pool.
func (s *servers) connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	if len(s.all) == 1 {
		return pgx.ConnectConfig(ctx, config)
	}
	conn, found, err := s.race(ctx, config)
	if err != nil {
		return nil, err
	}
	s.setPrimary(found)
	return conn, nil
}

// choose makes a configuration one of a connection to the primary.
func (s *servers) choose(ctx context.Context, config *pgx.ConnConfig) error {
	if len(s.all) == 1 {
		return nil
	}
	if s.primary.Load() == nil || s.suspect.Load() {
		_, err, _ := s.search.Do("", func() (any, error) {
			conn, err := s.connect(ctx, config.Copy())
			if err == nil {
				_ = conn.Close(ctx)
			}
			return nil, err
		})
		if err != nil {
			return err
		}
	}
	s.primary.Load().configure(config)
	return nil
}

// race connects to all servers at once. The first that is the primary wins; the other attempts end.
func (s *servers) race(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, *server, error) {
	racing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	type result struct {
		conn *pgx.Conn
		of   *server
		err  error
	}
	results := make(chan result, len(s.all))
	for _, each := range s.all {
		attempt := config.Copy()
		each.configure(attempt)
		running.Go(func() {
			conn, err := pgx.ConnectConfig(racing, attempt)
			results <- result{conn, each, err}
		})
	}
	var winner result
	var failures []error
	for range s.all {
		r := <-results
		switch {
		case r.err != nil:
			failures = append(failures, r.err)
		case winner.conn != nil:
			_ = r.conn.Close(ctx) // lost by a moment
		default:
			winner = r
			stop()
		}
	}
	if winner.conn == nil {
		return nil, nil, errors.Join(failures...)
	}
	return winner.conn, winner.of, nil
}

// setPrimary records which server is the primary. If it was another one, connections to that are closed, which ends the
// statements that wait for it.
func (s *servers) setPrimary(found *server) {
	before := s.primary.Swap(found)
	s.suspect.Store(false)
	if before == nil || before == found {
		return
	}
	if pool := s.pool.Load(); pool != nil {
		pool.Reset()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, of := range s.open {
		if of != found.address() {
			_ = conn.PgConn().Conn().Close()
		}
	}
}

// opened registers a connection of the pool. It returns errMoved if another server has become the primary since the
// connection was begun.
func (s *servers) opened(conn *pgx.Conn) error {
	if len(s.all) == 1 {
		return nil
	}
	config := conn.Config()
	address := addressOf(config.Host, config.Port)
	s.mu.Lock()
	defer s.mu.Unlock()
	if address != s.primary.Load().address() {
		return errMoved
	}
	s.open[conn] = address
	return nil
}

// closing forgets a connection of the pool. One that has been given up because a statement has reached its deadline is
// closed after cancelTimeout: its server may never acknowledge that.
func (s *servers) closing(conn *pgx.Conn) {
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	if !conn.IsClosed() {
		return
	}
	select {
	case <-conn.PgConn().CleanupDone():
	case <-time.After(cancelTimeout):
		_ = conn.PgConn().Conn().Close()
	}
}

// TraceConnectStart implements pgx.ConnectTracer.
func (s *servers) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd implements pgx.ConnectTracer. A failure to connect to the primary causes a search for it.
func (s *servers) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	failed, ok := errors.AsType[*pgconn.ConnectError](data.Err)
	known := s.primary.Load()
	if ok && known != nil && addressOf(failed.Config.Host, failed.Config.Port) == known.address() {
		s.suspect.Store(true)
	}
}

// boundCancel bounds the requests by which pgx cancels the statements of a connection. It dials for them as it did for
// the connection.
func boundCancel(config *pgx.ConnConfig) {
	dial := config.DialFunc
	var connected atomic.Bool // attempts to connect that have failed send such requests in goroutines of their own
	config.AfterConnect = func(context.Context, *pgconn.PgConn) error {
		connected.Store(true)
		return nil
	}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !connected.Load() {
			return dial(ctx, network, address)
		}
		ctx, cancel := context.WithTimeout(ctx, cancelTimeout)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err == nil {
			err = conn.SetDeadline(time.Now().Add(cancelTimeout))
		}
		return conn, err
	}
}
