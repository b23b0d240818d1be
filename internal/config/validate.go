package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// problems collects the errors of settings.
type problems struct {
	settings Settings
	errs     []error
}

// addIf adds an error about the setting with this flag, if it is invalid.
func (p *problems) addIf(invalid bool, flag, format string, args ...any) {
	if invalid {
		p.errs = append(p.errs, fmt.Errorf("%s: %w", p.settings.Name(flag), fmt.Errorf(format, args...)))
	}
}

// Name returns how messages name the setting with this flag.
func (s Settings) Name(flag string) string {
	for _, setting := range s {
		if setting.Flag.Name == flag {
			return setting.name()
		}
	}
	return "--" + flag // the settings were not bound
}

func (s *Server) validate(p *problems) {
	listen := "listen"
	if s.ListenPort != 0 {
		listen = "listen-port"
	}
	_, port, err := net.SplitHostPort(s.Address())
	p.addIf(err != nil, listen, "%q is not host:port", s.Address())
	p.addIf(err == nil && !isPort(port), listen, "port %s is not between 0 and 65535", port)
	if s.AdminListen != "" {
		_, port, err := net.SplitHostPort(s.AdminListen)
		p.addIf(err != nil || !isPort(port), "admin-listen", "%q is not host:port", s.AdminListen)
	}
	p.addIf(!fitsHeader(s.AdminSecret), "admin-secret", reasonNoHeader)
	p.addIf(!fitsHeader(s.NodeSecret), "node-secret", reasonNoHeader)
	p.addIf(!fitsHeader(s.SecondAdminSecret), "second-admin-secret", reasonNoHeader)
	p.addIf(!fitsHeader(s.SecondNodeSecret), "second-node-secret", reasonNoHeader)
	p.addIf(!slices.Contains([]string{"off", "report", "enforce"}, s.CheckResponses),
		"check-responses", "%q is not off, report or enforce", s.CheckResponses)
	p.addIf(s.BasePath != "" && !basePathPattern.MatchString(s.BasePath),
		"base-path", "%q is not a path such as /tyk, of letters, digits and any of .-_~", s.BasePath)
	p.addIf(s.PageSize < 1 || s.PageSize > maxPageSize,
		"page-size", "%d is not between 1 and %d", s.PageSize, maxPageSize)
}

// basePathPattern allows characters that are written the same way escaped and unescaped.
var basePathPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func (d *Database) validate(p *problems) {
	p.addIf(d.DirectURL != "" && d.URL == "",
		"direct-database-url", "is set without --database-url (DATABASE_URL)")
	p.addIf(d.StorageType != "postgres", "storage-type", "%q is not supported, only postgres is", d.StorageType)
	p.addIf(d.Wait < 0, "database-wait", "%s is less than 0", d.Wait)
	p.addIf(d.Timeout < time.Millisecond, "database-timeout", "%s is less than 1ms", d.Timeout)
}

func (g *Gateway) validate(p *problems) {
	p.addIf(g.Host == "" && g.Port != "", "gateway-port", "is set without --gateway-host (TYK_DB_TYKAPI_HOST)")
	p.addIf(!fitsHeader(g.Secret), "gateway-secret", reasonNoHeader)
	p.addIf(g.Port != "" && !isPort(g.Port), "gateway-port", "%q is not a port", g.Port)
	p.addIf((g.CertFile == "") != (g.KeyFile == ""), "gateway-cert-file", "--gateway-key-file belongs to it: set both")
	// The host decides about TLS: an operator who sets these files expects it.
	isTLS := strings.HasPrefix(strings.ToLower(g.Host), "https://")
	p.addIf(g.CAFile != "" && !isTLS, "gateway-ca-file", reasonNoTLS)
	p.addIf(g.CertFile != "" && !isTLS, "gateway-cert-file", reasonNoTLS)
}

const reasonNoTLS = "is set, and --gateway-host (TYK_DB_TYKAPI_HOST) is no https:// address"

func (r *Redis) validate(p *problems) {
	p.addIf(r.Port < 1 || r.Port > math.MaxUint16, "redis-port", "%d is not a port", r.Port)
	p.addIf(r.Database < 0, "redis-database", "%d is less than 0", r.Database)
	p.addIf((r.CertFile == "") != (r.KeyFile == ""), "redis-cert-file", "--redis-key-file belongs to it: set both")
	const reason = "is set without --redis-tls (TYK_DB_REDISUSESSL)"
	p.addIf(r.CAFile != "" && !r.TLS, "redis-ca-file", reason)
	p.addIf(r.CertFile != "" && !r.TLS, "redis-cert-file", reason)
}

func (l *Limits) validate(p *problems) {
	p.addIf(l.MaxImport < 1, "max-import", "%d is less than 1", l.MaxImport)
	p.addIf(l.MaxDocument < 1, "max-document", "%d is less than 1", l.MaxDocument)
	p.addIf(l.MaxDepth < 1 || l.MaxDepth > maxMaxDepth,
		"max-depth", "%d is not between 1 and %d", l.MaxDepth, maxMaxDepth)
	p.addIf(l.NodeCache < 0, "node-cache", "%d is less than 0", l.NodeCache)
	p.addIf(l.MaxConnections < 0, "max-connections", "%d is less than 0", l.MaxConnections)
	p.addIf(l.MaxConnectionsPerAddress < 0,
		"max-connections-per-address", "%d is less than 0", l.MaxConnectionsPerAddress)
	p.addIf(l.MaxWrongCredentials < 0, "max-wrong-credentials", "%d is less than 0", l.MaxWrongCredentials)
	p.addIf(l.MaxWrongPasswords < 0, "max-wrong-passwords", "%d is less than 0", l.MaxWrongPasswords)
	p.addIf(l.BodyTimeout < time.Millisecond, "body-timeout", "%s is less than 1ms", l.BodyTimeout)
}

func (s *Security) validate(p *problems) {
	p.addIf(s.PasswordHistory < 0 || s.PasswordHistory > maxPasswordHistory,
		"enforce-password-history", "%d is not between 0 and %d", s.PasswordHistory, maxPasswordHistory)
	p.addIf(s.LoginFailureUsernameLimit < 0,
		"login-failure-username-limit", "%d is less than 0", s.LoginFailureUsernameLimit)
	p.addIf(s.LoginFailureIPLimit < 0, "login-failure-ip-limit", "%d is less than 0", s.LoginFailureIPLimit)
	p.addIf(s.LoginFailureExpiration < 0 || s.LoginFailureExpiration > maxLoginFailureExpiration,
		"login-failure-expiration", "%d is not between 0 and %d", s.LoginFailureExpiration, maxLoginFailureExpiration)
}

func (a *Audit) validate(p *problems) {
	p.addIf(!isLogFormat(a.Format), "audit-format", "%q is neither text nor json", a.Format)
	p.addIf(a.Retention < 0 || a.Retention > maxAuditRetention,
		"audit-retention", "%d is not between 0 and %d", a.Retention, maxAuditRetention)
}

func (l *Log) validate(p *problems) {
	// Tyk Dashboard calls its own format, which is text, default.
	p.addIf(!isLogFormat(l.Format) && l.Format != "default", "log-format", "%q is neither text nor json", l.Format)
	p.addIf(!(l.Requests >= 0 && l.Requests <= 1), "log-requests", "%g is not between 0 and 1", l.Requests)
	p.addIf(l.SlowStatements < 0, "log-slow-statements", "%s is less than 0", l.SlowStatements)
}

func (p *problems) error() error { return errors.Join(p.errs...) }

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isLogFormat(s string) bool { return s == "text" || s == "json" }

// reasonNoHeader is wrong with a secret for which fitsHeader is false.
const reasonNoHeader = "begins or ends with white space, or has a control character, which a header cannot carry"

// fitsHeader reports whether a header can carry the secret.
func fitsHeader(s Secret) bool {
	isControl := func(r rune) bool { return unicode.IsControl(r) && r != '\t' }
	return strings.TrimSpace(string(s)) == string(s) && !strings.ContainsFunc(string(s), isControl)
}
