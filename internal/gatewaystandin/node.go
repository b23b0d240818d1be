package gatewaystandin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// healthCheckPings is the number of heartbeats between two pings of the health check: every 10 s and every 2 s.
const healthCheckPings = 5

// node registers the gateway with its dashboard and keeps it registered.
type node struct {
	state     *state
	dashboard *dashboard
	reload    func(context.Context) // loads the configuration
}

// register registers until it succeeds, and then loads the configuration. That also happens within a reload, which then
// waits for the lock that it holds (docs/behaviour.md#gateways, rule 1).
func (n *node) register(ctx context.Context) error {
	for {
		retry, err := n.tryRegister(ctx)
		if !retry {
			return err
		}
		n.state.cfg.Log.Warn("register with dashboard failed, retrying", "err", err)
		if !pause(ctx, n.state.cfg.RetryInterval) {
			return ctx.Err()
		}
	}
}

func (n *node) tryRegister(ctx context.Context) (retry bool, err error) {
	beforeHeartbeat := n.state.heartbeats.Load() == 0 // the registration may overtake a later heartbeat
	response, err := n.dashboard.send(ctx, request{
		method: http.MethodGet, path: "/register/node", headers: headerSession | headerHostname,
	})
	if err != nil {
		return true, err
	}
	defer closeBody(response)
	switch {
	case response.StatusCode == http.StatusOK:
	case response.StatusCode != http.StatusConflict:
		return true, fmt.Errorf("GET /register/node: status %d", response.StatusCode)
	case !n.state.cfg.Version.readsConflict():
		return false, nil // "already registered": the node keeps the ID that it has, and does not reload
	}
	retry, err = n.adopt(response)
	if !retry && err == nil {
		if beforeHeartbeat && holdsReloadLock(ctx) {
			n.state.beforeHeartbeat.Store(true)
		}
		n.reload(ctx)
	}
	return retry, err
}

// adopt decodes the response to a registration and adopts its node ID and nonce. A body that does not decode ends the
// registration with an error. A 409 counts as success if its body says so.
func (n *node) adopt(response *http.Response) (retry bool, err error) {
	var reply nodeReply
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return false, fmt.Errorf("GET /register/node: status %d: %w", response.StatusCode, err)
	}
	if response.StatusCode == http.StatusConflict && reply.Status != "OK" {
		return true, fmt.Errorf("GET /register/node: status 409, Status %q in the response", reply.Status)
	}
	id, found := reply.Message["NodeID"]
	if !found {
		n.dashboard.setNodeID("")
		return true, errors.New("GET /register/node: no NodeID in the response")
	}
	n.dashboard.setNodeID(id)
	n.dashboard.setNonce(reply.Nonce)
	n.state.heartbeats.Store(0)
	n.state.registrations.Add(1)
	n.state.cfg.Log.Info("registered with dashboard", "node_id", id)
	return false, nil
}

// heartbeat pings until ctx ends, the first time as the given identity.
func (n *node) heartbeat(ctx context.Context, first identity) {
	as := &first
	for {
		if err := n.ping(ctx, as); err != nil && ctx.Err() == nil {
			n.state.cfg.Log.Warn("ping dashboard failed", "err", err)
		}
		as = nil
		if !pause(ctx, n.state.cfg.PingInterval) {
			return
		}
	}
}

// healthCheck is the second source of pings.
func (n *node) healthCheck(ctx context.Context) {
	for pause(ctx, healthCheckPings*n.state.cfg.PingInterval) {
		_ = n.ping(ctx, nil)
	}
}

// ping registers again after a 403. That is safe: no reload is running in this goroutine.
func (n *node) ping(ctx context.Context, as *identity) error {
	status, err := n.dashboard.call(ctx, request{
		method: http.MethodGet, path: "/register/ping", headers: headerNode | headerSession | headerHostname, as: as,
	})
	n.state.dashboardUp.Store(err == nil)
	switch status {
	case http.StatusForbidden:
		return n.register(ctx)
	case http.StatusOK:
		n.state.heartbeats.Add(1)
	}
	return err
}

func (n *node) deregister(ctx context.Context) error {
	_, err := n.dashboard.call(ctx, request{
		method: http.MethodDelete, path: "/system/node", headers: headerNode | headerSession | headerHostname,
	})
	return err
}

func (n *node) quotaTrigger(ctx context.Context, orgID, key string, percent int) error {
	body, err := json.Marshal(map[string]any{
		"Message": "Quota trigger reached", "OriginatingRequest": "",
		"org_id": orgID, "key": key, "trigger_limit": percent, "usage_percentage": percent,
	})
	if err != nil {
		return err
	}
	_, err = n.dashboard.call(ctx, request{
		method: http.MethodPost, path: "/system/key/quota_trigger", headers: headerNode, body: body,
	})
	return err
}
