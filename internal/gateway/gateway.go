// Package gateway is a client of the control API of a Tyk Gateway, and of the Redis through which gateways are
// notified (docs/behaviour.md#gateways). One gateway is enough: gateways that share a Redis share their keys.
//
// Both clients are optional. New and NewRedis return nil when the configuration names no server, and the methods of a
// nil client return ErrNotConfigured.
package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
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
}

// Client calls the control API of one gateway.
type Client struct {
	base   *url.URL
	secret string
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
		return nil, fmt.Errorf("gateway host %q is not an address", cfg.Host)
	}
	if cfg.Port != "" {
		base.Host = base.Hostname() + ":" + cfg.Port
	}
	return &Client{base: base, secret: cfg.Secret, http: &http.Client{Timeout: Timeout}}, nil
}

// PurgeLapsedTokens deletes the OAuth tokens that expired longer ago than the gateway retains them.
func (c *Client) PurgeLapsedTokens(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, []string{"tyk", "oauth", "tokens"}, url.Values{"scope": {"lapsed"}}, nil, nil)
}

// ReloadGroup makes every gateway on the Redis of this one reload its policies and APIs.
func (c *Client) ReloadGroup(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, []string{"tyk", "reload", "group"}, nil, nil, nil)
}

// call sends a request and decodes the response into out, unless that is nil. It returns ErrNotConfigured,
// ErrUnreachable or a *Refused.
func (c *Client) call(ctx context.Context, method string, path []string, query url.Values, body []byte, out any) error {
	if c == nil {
		return ErrNotConfigured
	}
	target := *c.base
	for _, element := range path {
		// Not JoinPath: it would resolve an ID such as "..".
		target.Path, target.RawPath = target.Path+"/"+element, target.EscapedPath()+"/"+url.PathEscape(element)
	}
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("gateway request: %w", err)
	}
	req.Header.Set(secretHeader, c.secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
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
