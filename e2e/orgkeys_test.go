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
	path := "/admin/org/keys/" + org
	session := func(rate string) string { return `{"org_id":"` + org + `","rate":` + rate + `,"per":60}` }
	stored := func() string {
		t.Helper()
		return s.admin("GET", path, "")
	}
	reaches := func(rate float64) {
		t.Helper()
		eventually(t, "the gateway has the stored key", func() bool { return gateway.rate(org) == rate })
	}
	s.admin("POST", "/admin/org/keys", session("1"))
	require.InDelta(t, 1, gateway.rate(org), 0)

	// The gateway has accepted a change that was not stored. The lease of the server that died has to expire.
	gateway.change(func(k *keyStore) { k.silent = http.MethodPost })
	var put sync.WaitGroup
	put.Go(func() {
		if status, body := s.request("PUT", path, session("2"), "Admin-Auth", testAdminSecret); status != 0 {
			t.Errorf("the change has a response: %d %s", status, body)
		}
	})
	reaches(2)
	require.Contains(t, stored(), session("1"), "while a change is in progress, the stored key is the previous one")
	s.kill()
	put.Wait()
	gateway.change(func(k *keyStore) { k.silent = "" })
	s.start()
	require.Contains(t, stored(), session("1"))
	reaches(1)

	// A change was stored, and the gateway's cache has undone it while no server ran.
	gateway.change(func(k *keyStore) { k.silent = http.MethodGet }) // the server cannot check that the change is kept
	s.admin("PUT", path, session("3"))
	s.kill()
	require.InDelta(t, 3, gateway.rate(org), 0)
	gateway.change(func(k *keyStore) { k.silent, k.keys[org] = "", session("1") })
	s.start()
	reaches(3)
	require.Contains(t, stored(), session("3"))

	// The deletion of an organisation was stored, and the gateway still has its key.
	gateway.change(func(k *keyStore) { k.silent = http.MethodGet })
	s.admin("DELETE", "/admin/organisations/"+org, "")
	s.kill()
	gateway.change(func(k *keyStore) { k.silent, k.keys[org] = "", session("3") })
	s.start()
	reaches(0)
}
