package gatewaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// loadAttempts is the original request and one after a recovery (facts §2.2).
const loadAttempts = 2

// withinReload marks a context whose goroutine holds the reload lock.
type withinReload struct{}

// fixedError is an error that is always the same.
type fixedError string

func (e fixedError) Error() string { return string(e) }

const (
	errEnded = fixedError("the process has ended")
	errNoOAS = fixedError("is_oas without an OAS document that has info and paths")
)

// refusal is an answer that is not 200.
type refusal struct {
	path   string
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: status %d: %s", r.path, r.status, r.body) }

// lockReload takes the lock of the reload. Like the real one (facts §0.1) it cannot be taken twice: whoever holds it
// already waits here until the process ends.
func (p *process) lockReload(ctx context.Context) error {
	if ctx.Value(withinReload{}) != nil {
		p.log.printf("deadlock: a reload inside a reload")
		p.deadlocked.Store(true)
	}
	// Not ctx: a recovery may have given it a deadline, and no deadline frees a mutex.
	select {
	case p.reloadLock <- struct{}{}:
		return nil
	case <-p.ctx.Done():
		return errEnded
	}
}

// doReload fetches policies, then APIs, and puts them in use. A failure keeps the old configuration and is only
// recorded; nobody is told (facts §0.8). as names the node in the first request; nil means as it is named then.
func (p *process) doReload(ctx context.Context, as *identity) {
	if err := p.lockReload(ctx); err != nil {
		return
	}
	defer func() { <-p.reloadLock }()
	ctx = context.WithValue(ctx, withinReload{}, true)
	if err := p.load(ctx, as); err != nil {
		p.log.printf("reload failed: %v", err)
		p.reloadErrors.add(err.Error())
		return
	}
	p.reloads.Add(1)
	p.ready.Store(true)
}

// load does not ask for the APIs if the policies failed (facts §0.5).
func (p *process) load(ctx context.Context, as *identity) error {
	if err := p.loadList(ctx, "/system/policies", as, p.takePolicies); err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	if err := p.loadList(ctx, "/system/apis", nil, p.takeAPIs); err != nil {
		return fmt.Errorf("APIs: %w", err)
	}
	return nil
}

// loadList fetches a list and recovers once from what a gateway takes for a lost registration.
func (p *process) loadList(ctx context.Context, path string, as *identity, take func(io.Reader) error) error {
	for attempt := 1; ; attempt++ {
		err := p.loadListOnce(ctx, path, as, take)
		if err == nil || attempt == loadAttempts || !wantsRecovery(err) {
			return err
		}
		p.log.printf("recovering from: %v", err)
		if recoverErr := p.recoverNode(ctx); recoverErr != nil {
			p.log.printf("recovery failed: %v", recoverErr)
			return err
		}
		as = nil
	}
}

func (p *process) loadListOnce(ctx context.Context, path string, as *identity, take func(io.Reader) error) error {
	response, err := p.ask(ctx, request{method: http.MethodGet, path: path, sends: sendNode | sendSession, as: as})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		return &refusal{path: path, status: response.StatusCode, body: string(body)}
	}
	return take(response.Body)
}

// recoverNode registers again, inside the reload and with its lock held. Where the dashboard answers with an id, that
// never returns.
func (p *process) recoverNode(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RecoveryWindow)
	defer cancel()
	return p.register(ctx)
}

// wantsRecovery says which failures a gateway answers by registering again: a 403 with one of three texts, and
// network errors by their text (facts §0.1, §0.2).
func wantsRecovery(err error) bool {
	if refused, ok := errors.AsType[*refusal](err); ok {
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

// takePolicies decodes from the stream, so that a body that ends early is an EOF; the policies count at once, whatever
// becomes of the APIs.
func (p *process) takePolicies(body io.Reader) error {
	var list policyList
	if err := json.NewDecoder(body).Decode(&list); err != nil {
		return err
	}
	p.node.setNonce(list.Nonce)
	policies := map[string]policy{}
	for _, each := range list.Message {
		id := each.ID
		if id == "" {
			id = string(each.MID)
		}
		if _, twice := policies[id]; twice || id == "" {
			p.log.printf("invalid policy skipped: id %q, name %q", id, each.Name)
			continue
		}
		policies[id] = each
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policies = policies
	return nil
}

// takeAPIs reads the whole body first, as the real one does.
func (p *process) takeAPIs(body io.Reader) error {
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
			p.die(fmt.Sprintf("runtime error: invalid memory address or nil pointer dereference "+
				"(item %d of /system/apis has no api_definition, facts §0.4)", i))
			return errEnded
		}
	}
	p.node.setNonce(list.Nonce)
	p.apply(p.ctx, list.Message)
	return nil
}

// askReload queues a reload. Any number of them within the interval become one (facts §5). The channel is closed after
// the reload that answers the request, whether it succeeded or not; behind a deadlock, never.
func (p *process) askReload() <-chan struct{} {
	done := make(chan struct{})
	p.queue.add(done)
	return done
}

// reloadLoop does the queued reloads, at most one an interval.
func (p *process) reloadLoop() {
	for pause(p.ctx, p.cfg.ReloadInterval) {
		waiting := p.queue.take()
		if len(waiting) == 0 {
			continue
		}
		p.doReload(p.ctx, nil)
		for _, done := range waiting {
			close(done)
		}
	}
}
