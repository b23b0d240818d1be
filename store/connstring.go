package store

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The number of connections, unless the connection string has pool_max_conns. Writes that wait for the disk
// should leave connections for others. Nothing holds a connection while it waits for a client or for a gateway.
const (
	connectionsPerCore = 4
	minConnections     = 8
	maxConnections     = 32 // of the 100 that Postgres allows by default, which several servers may share
)

// ErrConnString is returned for a connection string that is not valid. Neither its text nor that of what it wraps has
// any part of the connection string, of which each part may be one of the password.
var ErrConnString = errors.New("connection string")

// hintEncode is what to do about a URL that cannot be taken apart.
const hintEncode = "percent-encode the characters @ : / ? # and % in the user name and the password, " +
	"or write keywords (host=… user=… password='…')"

// parseConnString parses a postgres:// URL, or libpq's keywords. pgx's own errors quote what they could not parse.
func parseConnString(connString string) (*pgxpool.Config, error) {
	if isURL(connString) && hasUnencodedPassword(connString) {
		return nil, fmt.Errorf("%w: is not a URL of a database: %s", ErrConnString, hintEncode)
	}
	config, err := pgxpool.ParseConfig(connString)
	if err == nil {
		if !strings.Contains(connString, "pool_max_conns") {
			config.MaxConns = int32(min(max(connectionsPerCore*runtime.GOMAXPROCS(0), minConnections), maxConnections))
		}
		return config, nil
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok { // of a certificate
		return nil, fmt.Errorf("%w: %w", ErrConnString, file)
	}
	if isURL(connString) && strings.Contains(err.Error(), "failed to parse as URL") {
		return nil, fmt.Errorf("%w: is not a URL: %s", ErrConnString, hintEncode)
	}
	return nil, fmt.Errorf("%w: %s", ErrConnString, connStringProblem(err))
}

// CheckConnString returns an error that wraps ErrConnString for a connection string that is not valid.
func CheckConnString(connString string) error {
	_, err := parseConnString(connString)
	return err
}

func isURL(connString string) bool {
	return strings.HasPrefix(connString, "postgres://") || strings.HasPrefix(connString, "postgresql://")
}

// hasUnencodedPassword reports whether a URL seems to have a password with a character that ends the part of the URL
// that has user and host. It is valid, but what is connected to, and named in errors, is a part of the password.
func hasUnencodedPassword(connString string) bool {
	_, rest, _ := strings.Cut(connString, "://")
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority = rest[:end]
	}
	if strings.Count(authority, "@") > 1 { // pgx ends the password at the first
		return true
	}
	parsed, err := url.Parse(connString)
	if err != nil {
		return false // reported as such
	}
	if parsed.Fragment != "" {
		return true
	}
	if parsed.User != nil {
		return false
	}
	first, _, _ := strings.Cut(parsed.RawQuery, "&")
	name, _, _ := strings.Cut(first, "=")
	return strings.Contains(parsed.Path, "@") || strings.Contains(name, "@")
}

// connStringProblem returns what is wrong with a connection string, in words of pgx that do not depend on it.
func connStringProblem(err error) string {
	for _, problem := range []string{
		"failed to parse as keyword/value", "failed to read service", "failed to configure TLS", "invalid port",
		"invalid connect_timeout", "invalid sslcertmode", "invalid require_auth", "could not match",
		"unknown target_session_attrs value", "unknown channel_binding value", "min_protocol_version",
		"max_protocol_version", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_max_conn_lifetime",
		"pool_max_conn_idle_time", "pool_health_check_period", "default_query_exec_mode", "statement_cache_capacity",
		"description_cache_capacity",
	} {
		if strings.Contains(err.Error(), problem) {
			return "is not valid: " + problem
		}
	}
	return "is not valid"
}

// SetConnString replaces the password, for connections that are made from then on. Another database needs another
// Store. It returns an error that wraps ErrConnString for a connection string that is not valid.
func (s *Store) SetConnString(connString string) error {
	config, err := parseConnString(connString)
	if err != nil {
		return err
	}
	s.connections.password.Store(&config.ConnConfig.Password)
	return nil
}

// SetDirectConnString is SetConnString for Config.DirectConnString. It does nothing if there was none.
func (s *Store) SetDirectConnString(connString string) error {
	if s.direct == s.connections {
		return nil
	}
	config, err := parseConnString(connString)
	if err != nil {
		return fmt.Errorf("direct %w", err)
	}
	s.direct.password.Store(&config.ConnConfig.Password)
	return nil
}
