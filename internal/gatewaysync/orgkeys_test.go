package gatewaysync_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gateway"
	"gatehouse/internal/gatewaysync"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// eventually is the longest wait for a state. It is far more than any step takes, also on a slow machine.
const eventually = time.Minute

// controlAPI is the part of a gateway's control API that concerns organisation keys.
type controlAPI struct {
	mu      sync.Mutex
	keys    map[string]string
	refuses map[string]bool // organisations whose keys are answered with 500
	undoes  map[string]int  // organisations whose next changes are undone by the gateway's cache
	message string          // of a refusal; it is part of a JSON string
	// storesAndFails lists organisations whose next change is stored and then answered with 500.
	storesAndFails map[string]bool
}

func newControlAPI(t *testing.T) (*controlAPI, *gateway.Client) {
	t.Helper()
	api := &controlAPI{
		keys: map[string]string{}, refuses: map[string]bool{}, undoes: map[string]int{},
		message: "Error writing to key store", storesAndFails: map[string]bool{},
	}
	web := httptest.NewServer(api)
	t.Cleanup(web.Close)
	client, err := gateway.New(gateway.Config{Host: web.URL})
	require.NoError(t, err)
	return api, client
}

func (a *controlAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	org := strings.TrimPrefix(r.URL.Path, "/tyk/org/keys/")
	session, known := a.keys[org]
	switch {
	case a.refuses[org] && r.Method != http.MethodGet:
		http.Error(w, `{"status":"error","message":"`+a.message+`"}`, http.StatusInternalServerError)
		return
	case r.Method == http.MethodGet && !known:
		http.Error(w, `{"status":"error","message":"Org not found"}`, http.StatusNotFound)
		return
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, session)
		return
	case a.undoes[org] > 0:
		a.undoes[org]--
	case r.Method == http.MethodDelete:
		delete(a.keys, org)
	default:
		body, _ := io.ReadAll(r.Body)
		a.keys[org] = string(body)
		if a.storesAndFails[org] {
			delete(a.storesAndFails, org)
			http.Error(w, `{"status":"error","message":"Error writing to key store"}`, http.StatusInternalServerError)
			return
		}
	}
	_, _ = io.WriteString(w, `{"status":"ok"}`)
}

func (a *controlAPI) key(org string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keys[org]
}

func (a *controlAPI) change(do func(*controlAPI)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do(a)
}

// clock is a clock that a test sets forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

type fixture struct {
	conn  string
	clock *clock
	store *store.Store
	api   *controlAPI
	cfg   gatewaysync.Config
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{conn: storetest.Database(t), clock: &clock{}}
	f.store = f.openStore(t)
	var client *gateway.Client
	f.api, client = newControlAPI(t)
	f.cfg = gatewaysync.Config{
		Store: f.store, Gateway: client, Session: func(s json.RawMessage) json.RawMessage { return s },
		Log: slog.New(slog.DiscardHandler), Now: f.clock.now,
	}
	return f
}

func (f *fixture) openStore(t *testing.T) *store.Store {
	t.Helper()
	cfg := store.Config{ConnString: f.conn, Now: f.clock.now, IDs: store.NewIDs(f.clock.now)}
	db, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

// run runs a server's background work until the test ends, or stop is called.
func (f *fixture) run(t *testing.T) (s *gatewaysync.Sync, stop func()) {
	t.Helper()
	s = gatewaysync.New(f.cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return s, stop
}

func (f *fixture) organisation(t *testing.T) string {
	t.Helper()
	id, err := f.store.CreateOrganisation(t.Context(), store.Organisation{Document: json.RawMessage(`{}`)})
	require.NoError(t, err)
	return id
}

func change(org, session string) store.OrgKeyChange {
	return store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: org, Session: json.RawMessage(session)}}
}

// synced waits until every key was seen to be kept.
func (f *fixture) synced(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		open, err := f.store.UnsyncedOrgKeyErrors(t.Context())
		return err == nil && len(open) == 0
	}, eventually, 10*time.Millisecond, "a key is not synced")
}

func TestChangeReachesGatewayAndStore(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s, _ := f.run(t)
	org := f.organisation(t)
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":1}`)))
	require.Equal(t, `{"rate":1}`, f.api.key(org))
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":2}`)))
	require.Equal(t, `{"rate":2}`, f.api.key(org))
	f.synced(t)
	deletion := store.OrgKeyChange{OrgKey: store.OrgKey{OrgID: org}, MustExist: true}
	require.NoError(t, s.ChangeOrgKey(t.Context(), deletion))
	require.Empty(t, f.api.key(org))
	f.synced(t)
	require.ErrorIs(t, s.ChangeOrgKey(t.Context(), change("none", `{}`)), store.ErrUnknownOrganisation)
	missing := change(org, `{}`)
	missing.MustExist = true
	require.ErrorIs(t, s.ChangeOrgKey(t.Context(), missing), store.ErrNotFound)
	require.Empty(t, f.api.key(org), "the gateway is not called for a change that does not apply")
}

func TestRefusedChangeIsNotStored(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s, _ := f.run(t)
	org := f.organisation(t)
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":1}`)))
	f.api.change(func(a *controlAPI) { a.refuses[org] = true })
	err := s.ChangeOrgKey(t.Context(), change(org, `{"rate":2}`))
	refused := &gateway.Refused{}
	require.ErrorAs(t, err, &refused)
	key, err := f.store.OrgKey(t.Context(), org)
	require.NoError(t, err)
	require.JSONEq(t, `{"rate":1}`, string(key.Session))
	f.api.change(func(a *controlAPI) { a.refuses[org] = false })
	f.synced(t)
	require.Equal(t, `{"rate":1}`, f.api.key(org))
}

func TestChangesOfOneKeyHappenOneAfterAnother(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first, _ := f.run(t)
	f.cfg.Store = f.openStore(t) // another server on the database
	second, _ := f.run(t)
	org := f.organisation(t)
	var changes sync.WaitGroup
	for i, s := range []*gatewaysync.Sync{first, second, first, second, first, second} {
		changes.Go(func() {
			session := `{"rate":` + string(rune('1'+i)) + `}`
			if err := s.ChangeOrgKey(t.Context(), change(org, session)); err != nil {
				t.Errorf("change %d: %v", i, err)
			}
		})
	}
	changes.Wait()
	key, err := f.store.OrgKey(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, string(key.Session), f.api.key(org), "the gateway has the change that was stored last")
	f.synced(t)
	require.Equal(t, string(key.Session), f.api.key(org))
}

func TestRefusedKeyDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	orgs := []string{f.organisation(t), f.organisation(t), f.organisation(t)}
	for _, org := range orgs { // stored while no server ran
		require.NoError(t, f.store.WriteOrgKey(t.Context(), change(org, `{"rate":5}`)))
	}
	f.api.change(func(a *controlAPI) { a.refuses[orgs[0]] = true })
	f.run(t)
	for _, org := range orgs[1:] {
		require.Eventually(t, func() bool { return f.api.key(org) == `{"rate":5}` }, eventually, 10*time.Millisecond)
	}
	require.Empty(t, f.api.key(orgs[0]))
	f.api.change(func(a *controlAPI) { a.refuses[orgs[0]] = false })
	f.synced(t)
	require.Equal(t, `{"rate":5}`, f.api.key(orgs[0]), "a refused key is sent again")
}

// TestCrashBetweenGatewayAndStore: a server dies after the gateway has accepted a change and before it is stored.
func TestCrashBetweenGatewayAndStore(t *testing.T) {
	t.Parallel()
	f := setup(t)
	org := f.organisation(t)
	require.NoError(t, f.store.WriteOrgKey(t.Context(), change(org, `{"rate":1}`)))
	_, err := f.store.BeginOrgKeyChange(t.Context(), change(org, `{"rate":2}`), time.Hour)
	require.NoError(t, err)
	f.api.change(func(a *controlAPI) { a.keys[org] = `{"rate":2}` })
	_, stop := f.run(t)
	_, err = f.store.BeginOrgKeyChange(t.Context(), change(org, `{"rate":3}`), time.Hour)
	require.ErrorIs(t, err, store.ErrOrgKeyLeased, "the lease is not stolen while it holds")
	stop()
	f.clock.ahead.Store(int64(2 * time.Hour))
	f.run(t)
	f.synced(t)
	require.Equal(t, `{"rate":1}`, f.api.key(org), "the gateway has the stored key again")
}

func TestDeletedOrganisationLosesItsKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s, stop := f.run(t)
	org := f.organisation(t)
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":1}`)))
	f.synced(t)
	stop()
	require.NoError(t, f.store.DeleteOrganisation(t.Context(), org))
	require.NotEmpty(t, f.api.key(org))
	f.run(t)
	f.synced(t)
	require.Empty(t, f.api.key(org))
}

func TestUndoneChangeIsSentAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s, _ := f.run(t)
	org := f.organisation(t)
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":1}`)))
	f.synced(t)
	f.api.change(func(a *controlAPI) { a.undoes[org] = 2 })
	require.NoError(t, s.ChangeOrgKey(t.Context(), change(org, `{"rate":9}`)))
	f.synced(t)
	require.Equal(t, `{"rate":9}`, f.api.key(org))
}

func TestSyncOrgKeys(t *testing.T) {
	t.Parallel()
	for name, withServer := range map[string]bool{"alone": false, "beside a running server": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			orgs := []string{f.organisation(t), f.organisation(t)}
			for _, org := range orgs {
				require.NoError(t, f.store.WriteOrgKey(t.Context(), change(org, `{"rate":5}`)))
			}
			if withServer {
				f.run(t)
				f.synced(t)
			}
			f.api.change(func(a *controlAPI) { clear(a.keys) })
			sent, err := gatewaysync.New(f.cfg).SyncOrgKeys(t.Context())
			require.NoError(t, err)
			require.Equal(t, 2, sent)
			for _, org := range orgs {
				require.Equal(t, `{"rate":5}`, f.api.key(org))
			}
		})
	}
	t.Run("a refused key does not stop the others", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		orgs := []string{f.organisation(t), f.organisation(t)}
		for _, org := range orgs {
			require.NoError(t, f.store.WriteOrgKey(t.Context(), change(org, `{"rate":5}`)))
		}
		f.api.change(func(a *controlAPI) { a.refuses[orgs[0]] = true })
		sent, err := gatewaysync.New(f.cfg).SyncOrgKeys(t.Context())
		require.Error(t, err)
		require.Equal(t, 1, sent)
		require.Equal(t, `{"rate":5}`, f.api.key(orgs[1]))
	})
}
