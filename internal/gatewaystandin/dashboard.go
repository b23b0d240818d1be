package gatewaystandin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

// dashboardTimeout is a real gateway's db_app_conf_options.connection_timeout.
const dashboardTimeout = 30 * time.Second

// identity is what the dashboard knows the node by.
type identity struct{ nodeID, nonce string }

// dashboard is the gateway's client of its dashboard (docs/behaviour.md#gateways).
type dashboard struct {
	state   *state
	client  *http.Client
	session string // new with every process

	mu  sync.Mutex // guards now; several goroutines use and replace the one nonce
	now identity
}

func newDashboard(s *state) *dashboard {
	return &dashboard{
		state: s,
		// A transport of its own: idle connections end with the process.
		client:  &http.Client{Transport: &http.Transport{}, Timeout: dashboardTimeout},
		session: uuid.NewString(),
		now:     identity{nodeID: "solo-" + uuid.NewString()},
	}
}

func (d *dashboard) identity() identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *dashboard) setNonce(nonce string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.nonce = nonce
}

func (d *dashboard) setNodeID(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.nodeID = id
}

// headers is the set of identifying headers that a call carries.
type headers uint8

const (
	headerNode headers = 1 << iota // x-tyk-nodeid and x-tyk-nonce
	headerSession
	headerHostname
)

type request struct {
	method, path string
	headers      headers
	as           *identity // nil is the current one
	body         []byte
}

// send sends one request. Its error is one of the network, not a status.
func (d *dashboard) send(ctx context.Context, r request) (*http.Response, error) {
	out, err := http.NewRequestWithContext(ctx, r.method, d.state.cfg.DashboardURL+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	out.Header.Set("authorization", d.state.cfg.NodeSecret)
	if r.headers&headerNode != 0 {
		node := d.identity()
		if r.as != nil {
			node = *r.as
		}
		out.Header.Set("x-tyk-nodeid", node.nodeID)
		out.Header.Set("x-tyk-nonce", node.nonce)
	}
	if r.headers&headerSession != 0 {
		out.Header.Set("x-tyk-session-id", d.session)
	}
	if r.headers&headerHostname != 0 {
		out.Header.Set("x-tyk-hostname", d.state.cfg.Hostname)
	}
	d.state.calls.add(describe(out))
	return d.client.Do(out)
}

func describe(out *http.Request) Call {
	return Call{
		At: time.Now(), Method: out.Method, Path: out.URL.Path,
		NodeID: out.Header.Get("x-tyk-nodeid"), Nonce: out.Header.Get("x-tyk-nonce"),
		SessionID: out.Header.Get("x-tyk-session-id"), Hostname: out.Header.Get("x-tyk-hostname"),
		Headers: out.Header.Clone(),
	}
}

// nodeReply is the response to register, ping, DELETE and quota_trigger. Message is an object of strings or null:
// anything else does not decode, and the nonce is not adopted.
type nodeReply struct {
	Status  string
	Message map[string]string
	Nonce   string
}

// call sends a request that is answered by a nodeReply, and adopts its nonce. status is 0 without a response.
func (d *dashboard) call(ctx context.Context, r request) (status int, err error) {
	response, err := d.send(ctx, r)
	if err != nil {
		return 0, err
	}
	defer closeBody(response)
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, fmt.Errorf("%s %s: status %d", r.method, r.path, response.StatusCode)
	}
	var reply nodeReply
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return response.StatusCode, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	d.setNonce(reply.Nonce)
	return response.StatusCode, nil
}

// closeBody reads the rest of the body, so that the connection can be reused.
func closeBody(response *http.Response) {
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}
