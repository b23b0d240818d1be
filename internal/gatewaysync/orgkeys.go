package gatewaysync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"gatehouse/internal/gateway"
	"gatehouse/store"
)

const (
	// restoreWithin is how long a gateway that has registered may take to load its first APIs: before, it does not tell
	// which organisation keys it has.
	restoreWithin = time.Minute
	// settleRounds bounds how often a gateway is told a key that it forgets again, settlePause is how long it is given
	// between, and settled is how often it must have had the key right.
	settleRounds = 20
	settlePause  = 100 * time.Millisecond
	settled      = 3
)

// counted are what a gateway counts in a session, or fills in: there it may differ from what it was told.
var counted = []string{"allowance", "quota_remaining", "quota_renews", "last_check", "last_updated", "expires", "date_created", "id_extractor_deadline"}

// keyWork is what is to be done about organisation keys, between requests.
type keyWork struct {
	registered, due chan struct{} // with an element: do it

	mu  *sync.Mutex
	ids map[string]bool // the organisations whose keys have changed
}

func newKeyWork() keyWork {
	return keyWork{registered: make(chan struct{}, 1), due: make(chan struct{}, 1), mu: &sync.Mutex{}, ids: map[string]bool{}}
}

// NodeRegistered has the organisation keys checked that the gateways' Redis may have lost.
func (s *Sync) NodeRegistered() { s.keys.nodeRegistered() }

// OrgKeyChanged has gateways forget what they have cached of an organisation's key.
func (s *Sync) OrgKeyChanged(orgID string) { s.keys.changed(orgID) }

// nodeRegistered has the keys looked for in the gateways' Redis.
func (w keyWork) nodeRegistered() { wake(w.registered) }

// changed has gateways forget what they have cached of an organisation's key.
func (w keyWork) changed(orgID string) {
	w.mu.Lock()
	w.ids[orgID] = true
	w.mu.Unlock()
	wake(w.due)
}

func (w keyWork) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := slices.Sorted(maps.Keys(w.ids))
	clear(w.ids)
	return ids
}

func wake(due chan struct{}) {
	select {
	case due <- struct{}{}:
	default: // it is due already
	}
}

// settleOrgKeys has gateways take over what was changed, until ctx ends.
func (s *Sync) settleOrgKeys(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keys.due:
		}
		ids := s.keys.take()
		_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, s.settle(ctx, ids) },
			backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(restoreWithin))
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("gateways may still use what they have cached of organisation keys", "organisations", len(ids), "err", err)
		}
	}
}

// settle makes sure that keys stay as they were told. A gateway keeps a session in a cache, and writes it back with each
// request: a request at the wrong moment undoes a change. A notice empties the cache; what was undone before it came has
// to be told again (facts gateway §6). Without a Redis for the notice, it is only told again.
func (s *Sync) settle(ctx context.Context, ids []string) error {
	right := 0
	for range settleRounds {
		if err := s.cfg.Redis.DropSessions(ctx, ids); err != nil {
			return err
		}
		if s.cfg.Gateway == nil || right == settled {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePause):
		}
		right++
		for _, id := range ids {
			was, err := s.tellAgain(ctx, id)
			if err != nil {
				return err
			}
			if !was {
				right = 0
			}
		}
	}
	return errors.New("the gateway undoes what it is told")
}

// tellAgain tells the gateway a key that it does not have as it is in the record, and says whether it had.
func (s *Sync) tellAgain(ctx context.Context, orgID string) (was bool, err error) {
	err = s.cfg.Store.WithOrgKey(ctx, orgID, func(ctx context.Context, key *store.OrgKey) error {
		has, err := s.cfg.Gateway.OrgKey(ctx, orgID)
		refused, unknown := errors.AsType[*gateway.Refused](err)
		unknown = unknown && refused.Status == http.StatusNotFound // also of a gateway without APIs, which undoes nothing
		switch {
		case err != nil && !unknown:
			return err
		case unknown, key != nil && sameLimits(key.Session, has):
			was = true
			return nil
		case key == nil:
			return s.cfg.Gateway.DeleteOrgKey(ctx, orgID)
		}
		return s.cfg.Gateway.SetOrgKey(ctx, key.OrgID, s.cfg.Session(key.Session))
	})
	return was, err
}

// sameLimits reports whether a gateway has the limits that it was sent, as far as it stores them unchanged.
func sameLimits(sent, stored json.RawMessage) bool {
	var want, has map[string]json.RawMessage
	if json.Unmarshal(sent, &want) != nil || json.Unmarshal(stored, &has) != nil {
		return false
	}
	for name, value := range want {
		stored, exists := has[name]
		if exists && !slices.Contains(counted, name) && isScalar(value) && !sameScalar(value, stored) {
			return false
		}
	}
	return true
}

func isScalar(v json.RawMessage) bool { return len(v) > 0 && v[0] != '{' && v[0] != '[' && v[0] != 'n' }

func sameScalar(a, b json.RawMessage) bool {
	var x, y any
	return bytes.Equal(a, b) || json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x == y
}

// restoreOrgKeys puts back, when a gateway registers, the organisation keys that its Redis has lost.
func (s *Sync) restoreOrgKeys(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keys.registered:
		}
		if s.cfg.Gateway == nil {
			continue
		}
		restored, err := backoff.Retry(ctx, func() (int, error) { return s.restoreMissing(ctx) },
			backoff.WithBackOff(backoff.NewExponentialBackOff()), backoff.WithMaxElapsedTime(restoreWithin))
		switch {
		case err != nil && ctx.Err() == nil:
			s.cfg.Log.Warn("organisation keys not looked after", "err", err)
		case restored > 0:
			s.cfg.Log.Info("organisation keys restored in the gateways' Redis", "keys", restored)
		}
	}
}

func (s *Sync) restoreMissing(ctx context.Context) (int, error) {
	recorded, err := s.cfg.Store.OrgKeyIDs(ctx)
	if err != nil || len(recorded) == 0 {
		return 0, err
	}
	missing, err := s.missingOrgKeys(ctx, recorded)
	if err != nil {
		return 0, err
	}
	return s.tellOrgKeys(ctx, missing)
}

// missingOrgKeys asks the Redis itself, if there is one: a gateway without APIs does not tell, and when it has some there
// may be requests that should have been limited.
func (s *Sync) missingOrgKeys(ctx context.Context, recorded []string) ([]string, error) {
	if s.cfg.Redis == nil {
		present, err := s.cfg.Gateway.OrgKeys(ctx)
		return slices.DeleteFunc(recorded, func(id string) bool { return slices.Contains(present, id) }), err
	}
	var missing []string
	for _, id := range recorded {
		there, err := s.cfg.Redis.HasOrgKey(ctx, id)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// tellOrgKeys tells the gateway these keys, as they are in the record, and returns how many.
func (s *Sync) tellOrgKeys(ctx context.Context, ids []string) (told int, err error) {
	for _, id := range ids {
		err := s.cfg.Store.WithOrgKey(ctx, id, func(ctx context.Context, key *store.OrgKey) error {
			if key == nil { // deleted meanwhile
				return nil
			}
			told++
			return s.cfg.Gateway.SetOrgKey(ctx, key.OrgID, s.cfg.Session(key.Session))
		})
		if err != nil {
			return told, err
		}
		s.keys.changed(id)
	}
	return told, nil
}

// SyncOrgKeys tells the gateway every organisation key of the record, and returns how many there are.
func (s *Sync) SyncOrgKeys(ctx context.Context) (int, error) {
	if s.cfg.Gateway == nil {
		return 0, gateway.ErrNotConfigured
	}
	ids, err := s.cfg.Store.OrgKeyIDs(ctx)
	if err != nil {
		return 0, err
	}
	told, err := s.tellOrgKeys(ctx, ids)
	if err == nil && told > 0 {
		err = s.cfg.Redis.DropSessions(ctx, ids)
	}
	return told, err
}
