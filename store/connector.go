package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	fastjson "github.com/segmentio/encoding/json"
)

// pingTimeout bounds the check of a connection that has been idle for a second, before it is used again. It is well
// below the time that a caller waits for a connection, so that a caller outlives several connections that were cut.
const pingTimeout = time.Second

// connector makes connections: those of the pool, and those that are used alone.
type connector struct {
	config   *pgx.ConnConfig
	servers  *servers
	timeout  time.Duration           // of a small statement
	password *atomic.Pointer[string] // of connections that are made from now on
}

// tracer is what pgx calls with the events of connections.
type tracer struct {
	deadlines
	*servers
}

// newConnector returns a connector, and completes the configuration of its pool. The statements have the deadlines.
func newConnector(config *pgxpool.Config, limits deadlines, also ...pgx.QueryTracer) *connector {
	config.PingTimeout = cmp.Or(config.PingTimeout, pingTimeout)
	c := &connector{
		servers: newServers(config.ConnConfig), timeout: limits.timeout,
		password: new(atomic.Pointer[string]),
	}
	c.password.Store(&config.ConnConfig.Password)
	traced := tracer{limits, c.servers}
	config.ConnConfig.Tracer = traced
	if len(also) > 0 {
		config.ConnConfig.Tracer = multitracer.New(append([]pgx.QueryTracer{traced}, also...)...)
	}
	c.config = config.ConnConfig.Copy()
	return c
}

// alone returns a connection that is not one of the pool.
func (c *connector) alone(ctx context.Context) (*pgx.Conn, error) {
	config := c.config.Copy()
	config.Password = *c.password.Load()
	boundCancel(config)
	return c.servers.connect(ctx, config)
}

// aloneWithin is alone with another time to connect.
func (c *connector) aloneWithin(ctx context.Context, limit time.Duration) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.alone(ctx)
}

// newPool returns a pool, which connects when it is used.
func (c *connector) newPool(ctx context.Context, config *pgxpool.Config) (*pool, error) {
	config.BeforeConnect = func(ctx context.Context, one *pgx.ConnConfig) error {
		one.Password = *c.password.Load()
		boundCancel(one)
		return c.servers.choose(ctx, one)
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{Name: "json", OID: pgtype.JSONOID, Codec: documentCodec})
		conn.TypeMap().RegisterType(&pgtype.Type{Name: "jsonb", OID: pgtype.JSONBOID, Codec: permissionsCodec})
		return c.servers.opened(conn)
	}
	config.BeforeClose = c.servers.closing
	connections, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	c.servers.pool.Store(connections)
	return newPool(connections, c.timeout), nil
}

// documentCodec decodes columns of type json. A json.RawMessage gets a copy of the stored bytes: json.Unmarshal, which
// pgx calls by default, would parse the document twice to do the same.
var documentCodec = &pgtype.JSONCodec{Marshal: json.Marshal, Unmarshal: func(text []byte, v any) error {
	if document, ok := v.(*json.RawMessage); ok {
		*document = bytes.Clone(text)
		return nil
	}
	return json.Unmarshal(text, v)
}}

// permissionsCodec decodes columns of type jsonb, which the permissions of users are, with few allocations.
var permissionsCodec = &pgtype.JSONBCodec{Marshal: json.Marshal, Unmarshal: fastjson.Unmarshal}
