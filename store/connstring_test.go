package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// TestConnStringErrorsHaveNoPassword opens stores with connection strings that are wrong, all with one password. No
// error has a part of it.
func TestConnStringErrorsHaveNoPassword(t *testing.T) {
	t.Parallel()
	// The parts of a password that is split at each character that has a meaning in a URL.
	parts := []string{"Zebra", "7391", "Quartz", "4826"}
	for _, c := range []struct{ connString, says string }{
		{"postgres://user:%s@host:port/db", "invalid port"},
		{"postgres://user:%s@ho st/db", "percent-encode"},
		{"postgres://user:%s@127.0.0.1:99999/db", ""},
		{"postgres://user:%s@127.0.0.1:1/db?sslmode=nonsense", ""},
		{"postgres://user:%s@127.0.0.1:1/db?sslrootcert=/nowhere", "open /nowhere"},
		{"postgres://user:%s@127.0.0.1:1/db?pool_max_conns=many", "pool_max_conns"},
		{"postgres://user:%s@127.0.0.1:1/db?connect_timeout=x", "connect_timeout"},
		{"postgresql://user:%s@127.0.0.1:1", ""},
		{"host=127.0.0.1 port=x password=%s", "invalid port"},
		{"host=127.0.0.1 port=1 password='%s", "keyword/value"},
		{"host=127.0.0.1 port=1 password=%s word", "keyword/value"},
		{"host=127.0.0.1 port=1 user=u password=%s target_session_attrs=%[1]s", "target_session_attrs"},
		{"%s", "connection string"},
	} {
		for _, separator := range []string{"", "@", ":", "/", "?", "#", "%", "%zz", "&a=", "[", " ", "\\", "'", "\t", "ü"} {
			connString := strings.ReplaceAll(strings.ReplaceAll(c.connString, "%[1]s", "%s"), "%s", strings.Join(parts, separator))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			_, err := store.Open(ctx, store.Config{ConnString: connString, Now: time.Now, IDs: store.NewIDs(time.Now)})
			cancel()
			require.Error(t, err, connString)
			for _, part := range parts {
				require.NotContains(t, strings.ToLower(err.Error()), strings.ToLower(part), connString)
			}
			if separator == "" {
				require.ErrorContains(t, err, c.says, connString)
			}
		}
	}
}

func TestConnStringsThatWork(t *testing.T) {
	t.Parallel()
	keywords := storetest.Database(t)
	for _, connString := range []string{keywords, strings.Replace(keywords, "dbname=", "database=", 1), storetest.URL(t, keywords), storetest.URL(t, keywords) + "&application_name=a@b"} {
		db, err := store.Open(t.Context(), store.Config{ConnString: connString, Now: time.Now, IDs: store.NewIDs(time.Now)})
		require.NoError(t, err)
		db.Close()
	}
}

// passwordProxy is a Postgres that asks for a password.
type passwordProxy struct {
	database *pgx.ConnConfig
	listener net.Listener
	password atomic.Pointer[string]

	mu    sync.Mutex // guards conns, for the time of one access
	conns []net.Conn
}

// newPasswordProxy returns a proxy of a database, and its connection string without the password.
func newPasswordProxy(t *testing.T, connString string) (p *passwordProxy, through string) {
	t.Helper()
	database, err := pgx.ParseConfig(connString)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p = &passwordProxy{database: database, listener: listener}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { _ = p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.disconnect()
		serving.Wait()
	})
	address := listener.Addr().(*net.TCPAddr)
	return p, fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable", address.Port, database.User, database.Database)
}

func (p *passwordProxy) serve(client net.Conn) error {
	defer client.Close()
	backend := pgproto3.NewBackend(client, client)
	startup, err := backend.ReceiveStartupMessage()
	if err != nil {
		return err
	}
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if err := errors.Join(backend.Flush(), backend.SetAuthType(pgproto3.AuthTypeCleartextPassword)); err != nil {
		return err
	}
	message, err := backend.Receive()
	if err != nil {
		return err
	}
	if sent, ok := message.(*pgproto3.PasswordMessage); !ok || sent.Password != *p.password.Load() {
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed"})
		return backend.Flush()
	}
	network, address := pgconn.NetworkAddress(p.database.Host, p.database.Port)
	database, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer database.Close()
	p.mu.Lock()
	p.conns = append(p.conns, client, database)
	p.mu.Unlock()
	frontend := pgproto3.NewFrontend(database, database)
	frontend.Send(startup.(*pgproto3.StartupMessage))
	if err := frontend.Flush(); err != nil {
		return err
	}
	var copying sync.WaitGroup
	copying.Go(func() { _, _ = io.Copy(database, client); _ = database.Close() })
	_, err = io.Copy(client, database)
	_ = client.Close()
	copying.Wait()
	return err
}

// disconnect ends all connections.
func (p *passwordProxy) disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

// TestPasswordIsReplaced changes the password of the database while a store is open.
func TestPasswordIsReplaced(t *testing.T) {
	t.Parallel()
	proxy, through := newPasswordProxy(t, storetest.Database(t))
	proxy.password.Store(new("old-password"))
	db, err := store.Open(t.Context(), store.Config{
		ConnString: through + " password=old-password", Now: time.Now, IDs: store.NewIDs(time.Now),
	})
	require.NoError(t, err)
	t.Cleanup(db.Close)

	proxy.password.Store(new("new-password"))
	proxy.disconnect()
	require.Eventually(t, func() bool {
		err := db.Ping(t.Context())
		return err != nil && strings.Contains(err.Error(), "password authentication failed")
	}, time.Minute, time.Millisecond)
	require.Error(t, db.SetConnString("postgres://%zz"))
	require.NoError(t, db.SetConnString(through+" password=new-password"))
	require.NoError(t, db.Ping(t.Context()))

	listenUntilEnd(t, db, store.Listener{}) // its connection has the new password, too
}
