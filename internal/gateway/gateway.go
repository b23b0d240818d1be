// Package gateway speaks to the control API of a Tyk Gateway (facts gateway §6). One gateway is enough: those that share
// its Redis share its keys.
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
	// timeout bounds one call: an administrator's request waits for it.
	timeout = 10 * time.Second
	// maxAnswer bounds what is read of an answer; a list of a million key ids is smaller.
	maxAnswer    = 64 << 20
	secretHeader = "X-Tyk-Authorization"
)

// ErrUnreachable: the gateway did not answer.
var ErrUnreachable = errors.New("the gateway cannot be reached")

// ErrNotConfigured: there is no gateway to speak to.
var ErrNotConfigured = errors.New("no gateway is configured")

// Refused is the gateway's own error.
type Refused struct {
	Status  int
	Message string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("the gateway answered %d: %s", r.Status, r.Message)
}

// Config says where the gateway is. An empty Host is no gateway.
type Config struct {
	Host   string // with or without a scheme: "http://tyk-gateway"
	Port   string
	Secret string
}

// Client calls one gateway. A nil Client is no gateway: its calls return ErrNotConfigured.
type Client struct {
	base   *url.URL
	secret string
	http   *http.Client
}

// New makes a client; nil if cfg names no gateway.
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
	return &Client{base: base, secret: cfg.Secret, http: &http.Client{Timeout: timeout}}, nil
}

// PurgeLapsedTokens has the gateway drop OAuth tokens that expired longer ago than it keeps them.
func (c *Client) PurgeLapsedTokens(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, []string{"tyk", "oauth", "tokens"}, url.Values{"scope": {"lapsed"}}, nil, nil)
}

// ReloadGroup has every gateway on the Redis of this one load its policies and APIs again.
func (c *Client) ReloadGroup(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, []string{"tyk", "reload", "group"}, nil, nil, nil)
}

// call sends a request and decodes the answer into out, if that is not nil.
func (c *Client) call(ctx context.Context, method string, path []string, query url.Values, body []byte, out any) error {
	if c == nil {
		return ErrNotConfigured
	}
	target := *c.base
	for _, element := range path {
		// Not JoinPath: it would take an id such as ".." for a way out.
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
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode != http.StatusOK {
		return &Refused{Status: resp.StatusCode, Message: message(answer)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	return nil
}

// message is what the gateway says went wrong; it is not always JSON.
func message(answer []byte) string {
	var envelope struct{ Message string }
	if err := json.Unmarshal(answer, &envelope); err != nil {
		const longest = 200
		return string(answer[:min(len(answer), longest)])
	}
	return envelope.Message
}
