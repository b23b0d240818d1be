package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
)

// Hello is what a gateway says of itself.
type Hello struct {
	Version string
	// Details have "dashboard", if the gateway loads its APIs from one, and "redis". They are nil in the first seconds
	// of a gateway.
	Details map[string]Component
	// Date is when the gateway responded, by its clock, to the second; zero if it did not say so.
	Date time.Time
}

// Component is a server that a gateway needs.
type Component struct{ Status string }

// Fails reports whether the gateway does not reach the component.
func (c Component) Fails() bool { return c.Status == "fail" }

// Hello returns what the gateway says of itself. It needs no secret.
func (c *Client) Hello(ctx context.Context) (hello Hello, err error) {
	var header http.Header
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"hello"}, header: &header}, &hello)
	if date, invalid := http.ParseTime(header.Get("Date")); invalid == nil {
		hello.Date = date
	}
	return hello, err
}

// ErrNoControlAPI is returned by HasAPI if what responds is not the control API of a gateway.
var ErrNoControlAPI = errors.New("the response is not that of the control API of a gateway")

// HasAPI reports whether the gateway has loaded an API. An ID that no API has is a check of the secret.
func (c *Client) HasAPI(ctx context.Context, id string) (bool, error) {
	var api struct {
		ID string `json:"api_id"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"tyk", "apis", id}}, &api)
	refused, isRefused := errors.AsType[*Refused](err)
	switch {
	case isRefused && refused.Status == http.StatusNotFound && refused.Message == "API not found":
		return false, nil
	case isRefused && refused.Status == http.StatusNotFound:
		return false, ErrNoControlAPI
	case err != nil && !isRefused && !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrNotConfigured):
		return false, ErrNoControlAPI // it is not JSON
	}
	return err == nil && api.ID == id, err
}

// ErrRedisCredentials is returned by Listeners if the Redis refuses the user name or the password, or requires one.
var ErrRedisCredentials = errors.New("the redis refuses the user name or the password")

// Listeners returns how many gateways receive the notices. counted is false for a cluster, where that is not known.
func (r *Redis) Listeners(ctx context.Context) (listeners int64, counted bool, err error) {
	if r == nil {
		return 0, false, ErrNotConfigured
	}
	var subscribed *redis.MapStringIntCmd
	_, err = r.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Ping(ctx)
		subscribed = pipe.PubSubNumSub(ctx, channel)
		return nil
	})
	switch {
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "WRONGPASS"):
		return 0, false, fmt.Errorf("%w: %w", ErrRedisCredentials, err)
	case err != nil:
		return 0, false, err
	}
	return subscribed.Val()[channel], r.countsListeners, nil
}
