package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// keyStore is the control API of a gateway, as far as it stores organisation keys.
type keyStore struct {
	mu     sync.Mutex
	keys   map[string]string
	silent string        // the method whose requests take effect, but get no response
	closed chan struct{} // ends requests without response
}

func startKeyStore(t *testing.T) (*keyStore, string) {
	t.Helper()
	k := &keyStore{keys: map[string]string{}, closed: make(chan struct{})}
	web := httptest.NewServer(k)
	t.Cleanup(func() { close(k.closed); web.Close() })
	return k, web.URL
}

func (k *keyStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	org := strings.TrimPrefix(r.URL.Path, "/tyk/org/keys/")
	body, _ := io.ReadAll(r.Body)
	k.mu.Lock()
	silent := r.Method == k.silent
	switch r.Method {
	case http.MethodPost:
		k.keys[org] = string(body)
	case http.MethodDelete:
		delete(k.keys, org)
	}
	session, known := k.keys[org]
	k.mu.Unlock()
	switch {
	case silent:
		select {
		case <-r.Context().Done():
		case <-k.closed:
		}
	case r.Method == http.MethodGet && r.URL.Path == "/tyk/org/keys":
		_, _ = io.WriteString(w, `{"keys":["`+strings.Join(k.organisations(), `","`)+`"]}`)
	case r.Method == http.MethodGet && !known:
		http.Error(w, `{"status":"error","message":"Org not found"}`, http.StatusNotFound)
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, session)
	default:
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	}
}

func (k *keyStore) organisations() (ids []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.keys {
		ids = append(ids, id)
	}
	return ids
}

// rate is the rate of an organisation's key, 0 without a key.
func (k *keyStore) rate(org string) float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	var session struct{ Rate float64 }
	_ = json.Unmarshal([]byte(k.keys[org]), &session)
	return session.Rate
}

func (k *keyStore) change(do func(*keyStore)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	do(k)
}

// TestKillDuringAChangeOfAnOrgKey kills the server at each step of a change: afterwards the gateway has the stored key.
func TestKillDuringAChangeOfAnOrgKey(t *testing.T) {
	t.Parallel()
	gateway, address := startKeyStore(t)
	s := startServer(t, append(fixedSecrets(), "TYK_DB_TYKAPI_HOST="+address, "TYK_DB_TYKAPI_SECRET="+testControlSecret)...)
	org := s.newOrganisation()
	session := func(rate string) json.RawMessage {
		return json.RawMessage(`{"org_id":"` + org + `","rate":` + rate + `,"per":60}`)
	}
	requireStored := func(rate, when string) {
		t.Helper()
		stored := ok(s.client().GetOrgKeyWithResponse(t.Context(), org))(t)
		require.Contains(t, string(stored.Body), string(session(rate)), when)
	}
	reaches := func(rate float64) {
		t.Helper()
		eventually(t, "the gateway has the stored key", func() bool { return gateway.rate(org) == rate })
	}
	ok(s.client().CreateOrgKeyWithResponse(t.Context(), session("1")))(t)
	require.InDelta(t, 1, gateway.rate(org), 0)

	// The gateway has accepted a change that was not stored. The lease of the server that died has to expire.
	gateway.change(func(k *keyStore) { k.silent = http.MethodPost })
	var put sync.WaitGroup
	dashboard := s.client()
	put.Go(func() {
		if changed, err := dashboard.UpdateOrgKeyWithResponse(t.Context(), org, session("2")); err == nil {
			t.Errorf("the change has a response: %s: %s", changed.Status(), changed.Body)
		}
	})
	reaches(2)
	requireStored("1", "while a change is in progress, the stored key is the previous one")
	s.kill()
	put.Wait()
	gateway.change(func(k *keyStore) { k.silent = "" })
	s.start()
	requireStored("1", "")
	reaches(1)

	// A change was stored, and the gateway's cache has undone it while no server ran.
	gateway.change(func(k *keyStore) { k.silent = http.MethodGet }) // the server cannot check that the change is kept
	ok(s.client().UpdateOrgKeyWithResponse(t.Context(), org, session("3")))(t)
	s.kill()
	require.InDelta(t, 3, gateway.rate(org), 0)
	gateway.change(func(k *keyStore) { k.silent, k.keys[org] = "", string(session("1")) })
	s.start()
	reaches(3)
	requireStored("3", "")

	// The deletion of an organisation was stored, and the gateway still has its key.
	gateway.change(func(k *keyStore) { k.silent = http.MethodGet })
	ok(s.client().DeleteOrgWithResponse(t.Context(), org))(t)
	s.kill()
	gateway.change(func(k *keyStore) { k.silent, k.keys[org] = "", string(session("3")) })
	s.start()
	reaches(0)
}
