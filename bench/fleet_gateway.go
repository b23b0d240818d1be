package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Times of a real gateway (docs/behaviour.md#gateways).
const (
	// gatewayTimeout is how long a gateway waits for a complete response.
	gatewayTimeout = 30 * time.Second
	// healthCheckPings is the number of heartbeats between two pings of the health check.
	healthCheckPings = 5
	// registerRetry is the pause before another attempt to register.
	registerRetry = 5 * time.Second
	// keptLoads bounds the loads that a gateway records.
	keptLoads = 8
	// idleConnections is how long an unused connection stays open. Per gateway, there are two at most.
	idleConnections = 90 * time.Second
)

// fleetConfig is what the simulated gateways of a fleet have in common.
type fleetConfig struct {
	url string // of the server
	// pingInterval is the time between two heartbeats. reloadInterval is the time in which notices become one reload.
	pingInterval, reloadInterval time.Duration
	// connections is the maximum number of connections of a gateway; 0 is no limit.
	connections    int
	apis, policies *knownLists
	count          *fleetCounts
}

// fleetCounts counts what the gateways of a fleet did.
type fleetCounts struct {
	received                         atomic.Int64 // bytes, with the headers of responses
	pings, failedPings, failedReload atomic.Int64
	lastFailure                      atomic.Pointer[string]
}

// failed records the last error of a gateway.
func (c *fleetCounts) failed(counter *atomic.Int64, err error) {
	counter.Add(1)
	c.lastFailure.Store(new(err.Error()))
}

// simulatedGateway does what a gateway does with its dashboard: it registers, pings, and after a notice loads policies
// and APIs. It has connections of its own, as a gateway has.
type simulatedGateway struct {
	fleetConfig
	client            *http.Client
	session, hostname string
	// reader has the gateway decode what it loads.
	reader bool
	// notices has the time of a notice that no reload has followed yet.
	notices chan time.Time

	mu            sync.Mutex
	nodeID, nonce string
	loads         []gatewayLoad // since the last forgetLoads
}

// gatewayLoad is a successful load of a gateway.
type gatewayLoad struct {
	noticed, began, ended time.Time
	apis                  receivedList
}

func newSimulatedGateway(cfg fleetConfig, number int, reader bool) *simulatedGateway {
	g := &simulatedGateway{
		fleetConfig: cfg, session: uuid.NewString(), hostname: fmt.Sprintf("gateway-%d", number), reader: reader,
		notices: make(chan time.Time, 1),
	}
	g.nodeID = "solo-" + g.session
	g.client = &http.Client{Timeout: gatewayTimeout, Transport: &http.Transport{
		DialContext: g.dial, IdleConnTimeout: idleConnections, MaxConnsPerHost: g.connections,
		// What is received is digested as it was sent.
		DisableCompression: true,
	}}
	return g
}

// countedConn counts the bytes that are received.
type countedConn struct {
	net.Conn
	received *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

func (g *simulatedGateway) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return countedConn{conn, &g.count.received}, nil
}

// start registers and loads, until it succeeds once.
func (g *simulatedGateway) start(ctx context.Context) error {
	for {
		err := g.register(ctx)
		if err == nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		g.count.failed(&g.count.failedReload, err)
		if !sleep(ctx, registerRetry) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// register registers the gateway, and then loads. A real gateway loads twice when it starts.
func (g *simulatedGateway) register(ctx context.Context) error {
	status, reply, err := g.call(ctx, "/register/node")
	switch {
	case err != nil:
		return err
	case status == http.StatusConflict:
		return nil // it is registered, and keeps its ID
	case status != http.StatusOK:
		return fmt.Errorf("GET /register/node: status %d", status)
	}
	g.mu.Lock()
	g.nodeID = reply.Message["NodeID"]
	g.mu.Unlock()
	return g.load(ctx, time.Now())
}

// heartbeat pings until ctx ends.
func (g *simulatedGateway) heartbeat(ctx context.Context) {
	pause := rand.N(g.pingInterval) // not all gateways at the same time
	for n := 1; sleep(ctx, pause); n++ {
		g.ping(ctx)
		if n%healthCheckPings == 0 {
			g.ping(ctx)
		}
		pause = g.pingInterval
	}
}

// ping pings once. After a 403 it registers again.
func (g *simulatedGateway) ping(ctx context.Context) {
	status, _, err := g.call(ctx, "/register/ping")
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && status == http.StatusOK:
		g.count.pings.Add(1)
		return
	case err == nil && status == http.StatusForbidden:
		err = errors.Join(errors.New("the server has forgotten the gateway"), g.register(ctx))
	case err == nil:
		err = fmt.Errorf("GET /register/ping: status %d", status)
	}
	g.count.failed(&g.count.failedPings, err)
}

// notify gives the gateway a notice. Notices that wait for the same reload are one.
func (g *simulatedGateway) notify(at time.Time) {
	select {
	case g.notices <- at:
	default:
	}
}

// reloads loads after notices until ctx ends, once an interval at most.
func (g *simulatedGateway) reloads(ctx context.Context) {
	next := time.Now().Add(rand.N(g.reloadInterval))
	for {
		var noticed time.Time
		select {
		case <-ctx.Done():
			return
		case noticed = <-g.notices:
		}
		for now := time.Now(); next.Before(now); {
			next = next.Add(g.reloadInterval)
		}
		if !sleep(ctx, time.Until(next)) {
			return
		}
		select {
		case <-g.notices: // one that arrived meanwhile
		default:
		}
		if err := g.load(ctx, noticed); err != nil && ctx.Err() == nil {
			g.count.failed(&g.count.failedReload, err)
		}
	}
}

// load fetches policies and then APIs. After a failure, the gateway keeps what it has.
func (g *simulatedGateway) load(ctx context.Context, noticed time.Time) error {
	began := time.Now()
	if _, err := g.fetch(ctx, "/system/policies", g.policies); err != nil {
		return err
	}
	apis, err := g.fetch(ctx, "/system/apis", g.apis)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loads = append(g.loads, gatewayLoad{noticed: noticed, began: began, ended: time.Now(), apis: apis})
	g.loads = g.loads[max(0, len(g.loads)-keptLoads):]
	return nil
}

// fetch fetches a list and adopts its nonce.
func (g *simulatedGateway) fetch(ctx context.Context, path string, known *knownLists) (receivedList, error) {
	response, err := g.send(ctx, path)
	if err != nil {
		return receivedList{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return receivedList{}, fmt.Errorf("GET %s: status %d", path, response.StatusCode)
	}
	list, err := receiveList(response, g.reader)
	if err != nil {
		return list, fmt.Errorf("GET %s: %w", path, err)
	}
	nonce, err := list.nonce()
	if err != nil {
		return list, fmt.Errorf("GET %s: %w", path, err)
	}
	g.mu.Lock()
	g.nonce = nonce
	g.mu.Unlock()
	if g.reader {
		known.read(list)
		list.full = nil
	}
	return list, nil
}

// send sends a request with the headers of a gateway.
func (g *simulatedGateway) send(ctx context.Context, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+path, nil)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	nodeID, nonce := g.nodeID, g.nonce
	g.mu.Unlock()
	for name, value := range map[string]string{
		"Authorization": nodeSecret, "X-Tyk-Nodeid": nodeID, "X-Tyk-Nonce": nonce, "X-Tyk-Session-Id": g.session,
		"X-Tyk-Hostname": g.hostname,
	} {
		r.Header.Set(name, value)
	}
	if strings.HasPrefix(path, "/system/") { // other responses are too short to be compressed
		r.Header.Set("Accept-Encoding", "gzip")
	}
	return g.client.Do(r)
}

// nodeReply is the response to a registration and to a ping.
type nodeReply struct {
	Message map[string]string
	Nonce   string
}

// call sends a request that is answered with a nodeReply, and adopts its nonce.
func (g *simulatedGateway) call(ctx context.Context, path string) (status int, reply nodeReply, err error) {
	response, err := g.send(ctx, path)
	if err != nil {
		return 0, reply, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, reply, err
	}
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return response.StatusCode, reply, fmt.Errorf("GET %s: %w", path, err)
	}
	_, err = io.Copy(io.Discard, response.Body) // so that the connection can be used again
	g.mu.Lock()
	g.nonce = reply.Nonce
	g.mu.Unlock()
	return response.StatusCode, reply, err
}

// forgetLoads forgets the loads until now.
func (g *simulatedGateway) forgetLoads() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loads = nil
}

// firstWith returns the first load that has a change.
func (g *simulatedGateway) firstWith(change int) (_ gatewayLoad, found bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, each := range g.loads {
		if g.apis.has(each.apis, change) {
			return each, true
		}
	}
	return gatewayLoad{}, false
}

// sleep sleeps and reports whether it did so in full: false means that ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
