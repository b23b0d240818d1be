package gatewaystandin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// loadAttempts is the number of requests for a list: the first, and one after a recovery.
const loadAttempts = 2

// withinReload is the key of a context whose goroutine holds the reload lock.
type withinReload struct{}

func holdsReloadLock(ctx context.Context) bool { return ctx.Value(withinReload{}) != nil }

// statusError is a response other than 200.
type statusError struct {
	path   string
	status int
	body   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.path, e.status, e.body)
}

// reloader loads policies and APIs from the dashboard.
type reloader struct {
	state     *state
	dashboard *dashboard
	loader    loader
	// register registers the node again, within the reload.
	register func(context.Context) error
	// crash ends the process as a panic does.
	crash func(reason string)
	// ended is closed when the process ends.
	ended <-chan struct{}
	// lock holds a token while a reload runs. Like a mutex, it cannot be acquired twice by one goroutine.
	lock  chan struct{}
	queue record[chan struct{}]
	// unfinished counts the requested reloads that have not ended.
	unfinished atomic.Int64
}

// acquire acquires the reload lock. A goroutine that holds it already waits until the process ends.
func (r *reloader) acquire(ctx context.Context) error {
	if holdsReloadLock(ctx) {
		r.state.cfg.Log.Error("deadlock: reload within a reload; restart the gateway")
		r.state.deadlocked.Store(true)
	}
	// Ignore ctx: a recovery may have a deadline, and no deadline frees a mutex.
	select {
	case r.lock <- struct{}{}:
		return nil
	case <-r.ended:
		return errProcessEnded
	}
}

// reload fetches policies, then APIs, and applies them. After a failure the old configuration stays; only the log and
// the record have the error. as identifies the node in the first request; nil is the current identity.
func (r *reloader) reload(ctx context.Context, as *identity) {
	if err := r.acquire(ctx); err != nil {
		return
	}
	defer func() { <-r.lock }()
	ctx = context.WithValue(ctx, withinReload{}, true)
	if err := r.load(ctx, as); err != nil {
		r.state.cfg.Log.Error("reload failed, keeping the old configuration", "err", err)
		r.state.reloadErrors.add(err.Error())
		return
	}
	r.state.reloads.Add(1)
	r.state.ready.Store(true)
	r.state.cfg.Log.Info("reloaded", "apis", len(r.state.config().served()), "policies", len(r.state.policyIDs()))
}

// load fetches both lists. It does not fetch APIs if the policies failed.
func (r *reloader) load(ctx context.Context, as *identity) error {
	if err := r.loadList(ctx, "/system/policies", as, r.decodePolicies); err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	decode := func(body io.Reader) error { return r.decodeAPIs(ctx, body) }
	if err := r.loadList(ctx, "/system/apis", nil, decode); err != nil {
		return fmt.Errorf("APIs: %w", err)
	}
	if r.state.cfg.Version.loadsClientIDPs() {
		if err := r.fetch(ctx, "/system/clientidps", nil, r.decodeClientIDPs); err != nil {
			r.state.cfg.Log.Error("load identity providers of clients failed", "err", err)
		}
	}
	return nil
}

// loadList fetches a list and recovers once from what a gateway takes for a lost registration.
func (r *reloader) loadList(ctx context.Context, path string, as *identity, decode func(io.Reader) error) error {
	for attempt := 1; ; attempt++ {
		err := r.fetch(ctx, path, as, decode)
		if err == nil || attempt == loadAttempts || !needsRecovery(err) {
			return err
		}
		r.state.cfg.Log.Warn("fetch list failed, registering again", "path", path, "err", err)
		if recoverErr := r.recover(ctx); recoverErr != nil {
			r.state.cfg.Log.Warn("register again failed", "err", recoverErr)
			return err
		}
		as = nil
	}
}

func (r *reloader) fetch(ctx context.Context, path string, as *identity, decode func(io.Reader) error) error {
	response, err := r.dashboard.send(ctx, request{
		method: http.MethodGet, path: path, headers: headerNode | headerSession, as: as,
	})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return &statusError{path: path, status: response.StatusCode, body: string(body)}
	}
	return decode(response.Body)
}

// recover registers again while the reload lock is held. It never returns if the dashboard answers with an ID.
func (r *reloader) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.state.cfg.RecoveryWindow)
	defer cancel()
	return r.register(ctx)
}

// needsRecovery reports whether a gateway registers again after this error: a 403 with one of three texts, and network
// errors by their text.
func needsRecovery(err error) bool {
	if refused, ok := errors.AsType[*statusError](err); ok {
		return refused.status == http.StatusForbidden &&
			containsAny(refused.body, "Nonce failed", "nonce", "No node ID Found")
	}
	return containsAny(err.Error(), "EOF", "connection refused", "connection reset", "broken pipe", "i/o timeout",
		"no such host", "network is unreachable")
}

func containsAny(text string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// decodePolicies decodes from the stream, so that a body that ends early is an EOF. The policies apply at once, even if
// the APIs then fail.
func (r *reloader) decodePolicies(body io.Reader) error {
	var list policyList
	if err := json.NewDecoder(body).Decode(&list); err != nil {
		return err
	}
	r.dashboard.setNonce(list.Nonce)
	policies := map[string]policy{}
	for _, each := range list.Message {
		id := each.ID
		if id == "" {
			id = string(each.MID)
		}
		if _, duplicate := policies[id]; duplicate || id == "" {
			r.state.cfg.Log.Warn("skip policy: no ID, or a duplicate", "id", id, "name", each.Name)
			continue
		}
		policies[id] = each
	}
	r.state.setPolicies(policies)
	return nil
}

// decodeAPIs reads the whole body before it decodes it, as a real gateway does.
func (r *reloader) decodeAPIs(ctx context.Context, body io.Reader) error {
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var list apiList
	if err := json.Unmarshal(bytes.TrimSpace(data), &list); err != nil {
		return err
	}
	for i, each := range list.Message {
		if each.Definition == nil {
			r.crash(fmt.Sprintf("runtime error: invalid memory address or nil pointer dereference "+
				"(item %d of /system/apis has no api_definition)", i))
			return errProcessEnded
		}
	}
	r.dashboard.setNonce(list.Nonce)
	r.state.setConfig(r.loader.load(ctx, r.state.config(), list.Message))
	return nil
}

// decodeClientIDPs adopts the nonce. The stand-in has no use for the list.
func (r *reloader) decodeClientIDPs(body io.Reader) error {
	var list struct {
		Message []json.RawMessage
		Nonce   string
	}
	err := json.NewDecoder(body).Decode(&list)
	if err == nil {
		r.dashboard.setNonce(list.Nonce)
	}
	return err
}

// request queues a reload. Those of one interval become one. The channel is closed after the reload, whether it
// succeeded or not; after a deadlock, never.
func (r *reloader) request() <-chan struct{} {
	done := make(chan struct{})
	r.unfinished.Add(1)
	r.queue.add(done)
	return done
}

// run runs queued reloads until ctx ends, at most one per interval.
func (r *reloader) run(ctx context.Context) {
	for pause(ctx, r.state.cfg.ReloadInterval) {
		waiting := r.queue.drain()
		if len(waiting) == 0 {
			continue
		}
		r.reload(ctx, nil)
		for _, done := range waiting {
			close(done)
		}
		r.unfinished.Add(-int64(len(waiting)))
	}
}
