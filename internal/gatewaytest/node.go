package gatewaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Call is one request of the gateway to its dashboard, with the headers that name the node. A header that was not
// sent is told from an empty one by Headers.
type Call struct {
	At        time.Time
	Method    string
	Path      string
	NodeID    string
	Nonce     string
	SessionID string
	Hostname  string
	Headers   http.Header
}

// node is who the gateway is to its dashboard. Several goroutines use and replace the one nonce (facts §2.2).
type node struct {
	session string

	mu  sync.Mutex
	now identity
}

type identity struct{ nodeID, nonce string }

func newNode() *node {
	return &node{session: uuid.NewString(), now: identity{nodeID: "solo-" + uuid.NewString()}}
}

func (n *node) identity() identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

func (n *node) setNonce(nonce string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now.nonce = nonce
}

func (n *node) setID(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now.nodeID = id
}

// nodeReply is the answer to register, ping, DELETE and quota_trigger. Message is an object of strings or null:
// anything else fails, and the nonce is not taken over (facts §0.9).
type nodeReply struct {
	Status  string
	Message map[string]string
	Nonce   string
}

// sends says which of the headers of facts §2 a call carries.
type sends uint8

const (
	sendNode sends = 1 << iota // x-tyk-nodeid and x-tyk-nonce
	sendSession
	sendHostname
)

type request struct {
	method, path string
	sends        sends
	as           *identity // nil: the current one
	body         []byte
}

// ask sends one request; an error is one of the network.
func (p *process) ask(ctx context.Context, r request) (*http.Response, error) {
	out, err := http.NewRequestWithContext(ctx, r.method, p.cfg.DashboardURL+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	out.Header.Set("authorization", p.cfg.NodeSecret)
	if r.sends&sendNode != 0 {
		who := p.node.identity()
		if r.as != nil {
			who = *r.as
		}
		out.Header.Set("x-tyk-nodeid", who.nodeID)
		out.Header.Set("x-tyk-nonce", who.nonce)
	}
	if r.sends&sendSession != 0 {
		out.Header.Set("x-tyk-session-id", p.node.session)
	}
	if r.sends&sendHostname != 0 {
		out.Header.Set("x-tyk-hostname", p.cfg.Hostname)
	}
	p.calls.add(describe(out))
	return p.client.Do(out)
}

func describe(out *http.Request) Call {
	return Call{
		At: time.Now(), Method: out.Method, Path: out.URL.Path,
		NodeID: out.Header.Get("x-tyk-nodeid"), Nonce: out.Header.Get("x-tyk-nonce"),
		SessionID: out.Header.Get("x-tyk-session-id"), Hostname: out.Header.Get("x-tyk-hostname"),
		Headers: out.Header.Clone(),
	}
}

// register asks for a node id until it gets one, and then loads the configuration: also when it is called from within
// a reload, which then waits for itself for ever (facts §0.1).
func (p *process) register(ctx context.Context) error {
	for {
		again, err := p.tryRegister(ctx)
		if !again {
			return err
		}
		p.log.printf("failed to register, trying again: %v", err)
		if !pause(ctx, p.cfg.RetryInterval) {
			return ctx.Err()
		}
	}
}

func (p *process) tryRegister(ctx context.Context) (again bool, err error) {
	response, err := p.ask(ctx, request{method: http.MethodGet, path: "/register/node", sends: sendSession | sendHostname})
	if err != nil {
		return true, err
	}
	defer closeBody(response)
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusConflict:
		// v5.11.1 takes that for "already registered" and keeps its solo id (facts §2.1).
		return false, nil
	default:
		return true, fmt.Errorf("register: status %d", response.StatusCode)
	}
	var reply nodeReply
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return false, err
	}
	id, found := reply.Message["NodeID"]
	p.node.setID(id)
	if !found {
		return true, errors.New("register: no NodeID in the answer")
	}
	p.node.setNonce(reply.Nonce)
	p.registrations.Add(1)
	p.doReload(ctx, nil)
	return false, nil
}

// heartbeat pings for ever; the first ping goes out in the given name.
func (p *process) heartbeat(first identity) {
	as := &first
	for {
		if err := p.ping(p.ctx, as); err != nil {
			p.log.printf("dashboard is down? %v", err)
		}
		as = nil
		if !pause(p.ctx, p.cfg.PingInterval) {
			return
		}
	}
}

// healthCheck is the second source of pings (facts §2).
func (p *process) healthCheck() {
	for pause(p.ctx, healthEvery*p.cfg.PingInterval) {
		_ = p.ping(p.ctx, nil)
	}
}

// ping answers a 403 by registering again, outside of any reload: that is safe (facts §2.1).
func (p *process) ping(ctx context.Context, as *identity) error {
	reply, status, err := p.tell(ctx, request{
		method: http.MethodGet, path: "/register/ping", sends: sendNode | sendSession | sendHostname, as: as,
	})
	p.dashboardUp.Store(err == nil)
	if status == http.StatusForbidden {
		return p.register(ctx)
	}
	if err == nil {
		p.node.setNonce(reply.Nonce)
	}
	return err
}

func (p *process) deregister(ctx context.Context) error {
	reply, _, err := p.tell(ctx, request{
		method: http.MethodDelete, path: "/system/node", sends: sendNode | sendSession | sendHostname,
	})
	if err == nil {
		p.node.setNonce(reply.Nonce)
	}
	return err
}

func (p *process) quotaTrigger(ctx context.Context, orgID, key string, percent int) error {
	body, err := json.Marshal(map[string]any{
		"Message": "Quota trigger reached", "OriginatingRequest": "",
		"org_id": orgID, "key": key, "trigger_limit": percent, "usage_percentage": percent,
	})
	if err != nil {
		return err
	}
	reply, _, err := p.tell(ctx, request{
		method: http.MethodPost, path: "/system/key/quota_trigger", sends: sendNode, body: body,
	})
	if err == nil {
		p.node.setNonce(reply.Nonce)
	}
	return err
}

// tell is a call that is answered by a nodeReply. status is 0 if there was no answer.
func (p *process) tell(ctx context.Context, r request) (reply nodeReply, status int, err error) {
	response, err := p.ask(ctx, r)
	if err != nil {
		return reply, 0, err
	}
	defer closeBody(response)
	if response.StatusCode != http.StatusOK {
		return reply, response.StatusCode, fmt.Errorf("%s %s: status %d", r.method, r.path, response.StatusCode)
	}
	err = json.NewDecoder(response.Body).Decode(&reply)
	return reply, response.StatusCode, err
}

// closeBody lets the connection be used again.
func closeBody(response *http.Response) {
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}
