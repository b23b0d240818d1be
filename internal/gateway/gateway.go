// Package gateway is a client of the control API of a Tyk Gateway, and of the Redis through which gateways are
// notified (docs/behaviour.md#gateways). One gateway is enough: gateways that share a Redis share their keys.
//
// Both clients are optional. New and NewRedis return nil when the configuration names no server, and the methods of a
// nil client return ErrNotConfigured.
package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// Timeout bounds one call of the control API, from the connection to the end of the response. An administrator's
	// request waits for it.
	Timeout = 10 * time.Second
	// maxResponse is the size at which a response is cut off; a list of a million key IDs is smaller.
	maxResponse = 64 << 20
	// maxMessage is the length of an error message that is not JSON.
	maxMessage   = 200
	secretHeader = "X-Tyk-Authorization"
)

var (
	// ErrUnreachable is returned when the gateway does not send a complete response within Timeout.
	ErrUnreachable = errors.New("the gateway cannot be reached")
	// ErrNotConfigured is returned by the methods of a nil client.
	ErrNotConfigured = errors.New("no gateway is configured")
)

// Refused is the error of a call that the gateway answered with another status than 200.
type Refused struct {
	Status  int
	Message string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("the gateway answered %d: %s", r.Status, r.Message)
}

// Config is the address of a gateway's control API.
type Config struct {
	Host   string // with or without a scheme: "http://tyk-gateway"; empty: no gateway
	Port   string // empty: as in Host, or the scheme's
	Secret string // the gateway's `secret`
	// TLS is for a host with https://; nil is Go's default.
	TLS *tls.Config
	// Dial opens connections; nil is how net/http does it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client calls the control API of one gateway.
type Client struct {
	base   *url.URL
	secret atomic.Pointer[string]
	http   *http.Client
}

// New returns a client, or nil if cfg names no gateway.
func New(cfg Config) (*Client, error) {
	if cfg.Host == "" {
		return nil, nil
	}
	address := cfg.Host
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || base.Hostname() == "" {
		return nil, fmt.Errorf("gateway host %q is not an address", withoutUser(cfg.Host))
	}
	if cfg.Port != "" {
		base.Host = base.Hostname() + ":" + cfg.Port
	}
	client := &Client{base: base, http: &http.Client{Timeout: Timeout, CheckRedirect: noRedirect}}
	if transport, ok := http.DefaultTransport.(*http.Transport); ok {
		transport = transport.Clone()
		transport.TLSClientConfig = cfg.TLS
		if cfg.Dial != nil {
			transport.DialContext = cfg.Dial
		}
		client.http.Transport = transport
	}
	client.SetSecret(cfg.Secret)
	return client, nil
}

// withoutUser returns a host without what precedes an @, which may be a password.
func withoutUser(host string) string { return host[strings.LastIndexByte(host, '@')+1:] }

// SetSecret replaces the gateway's secret, for requests that are sent from then on. It does nothing on a nil client.
func (c *Client) SetSecret(secret string) {
	if c != nil {
		c.secret.Store(&secret)
	}
}

// noRedirect has a redirect returned as the response. A gateway redirects a path that it cleans, such as
// /tyk/keys/../reload: following it would let an ID choose the operation.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// ReloadGroup makes every gateway on the Redis of this one reload its policies and APIs.
func (c *Client) ReloadGroup(ctx context.Context) error {
	return c.call(ctx, request{method: http.MethodGet, path: []string{"tyk", "reload", "group"}}, nil)
}

// request is a request to the control API.
type request struct {
	method string
	path   []string // the elements, unescaped
	query  url.Values
	body   []byte
	// contentType is the media type of the body; "" is JSON.
	contentType string
	// header receives the header of the response; nil: nobody needs it.
	header *http.Header
}

// call sends a request and decodes the response into out, unless that is nil. It returns ErrNotConfigured,
// ErrUnreachable or a *Refused.
func (c *Client) call(ctx context.Context, r request, out any) (err error) {
	if c == nil {
		return ErrNotConfigured
	}
	ctx, end := c.startSpan(ctx, r)
	defer func() { end(err) }()
	target := *c.base
	for _, element := range r.path {
		// Not JoinPath: it would resolve an ID such as "..".
		target.Path, target.RawPath = target.Path+"/"+element, target.EscapedPath()+"/"+url.PathEscape(element)
	}
	target.RawQuery = r.query.Encode()
	if r.method != http.MethodGet {
		// The gateway may make a change whose caller has gone. Timeout ends the call.
		ctx = context.WithoutCancel(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), bytes.NewReader(r.body))
	if err != nil {
		return fmt.Errorf("gateway request: %w", err)
	}
	req.Header.Set(secretHeader, *c.secret.Load())
	req.Header.Set("Content-Type", cmp.Or(r.contentType, "application/json"))
	sendTrace(ctx, req.Header)
	resp, err := c.http.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the URL, which may have a key
		}
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	if r.header != nil {
		*r.header = resp.Header
	}
	response, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode != http.StatusOK {
		return &Refused{Status: resp.StatusCode, Message: message(response)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(response, out); err != nil {
		return fmt.Errorf("decode the gateway's response: %w", err)
	}
	return nil
}

// message returns the error message of a response, which is not always JSON.
func message(response []byte) string {
	var envelope struct{ Message string }
	if err := json.Unmarshal(response, &envelope); err != nil {
		return string(response[:min(len(response), maxMessage)])
	}
	return envelope.Message
}
