package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

const (
	// manyDocuments of documentSize are far more than all buffers between the server and a client hold (some 5 MB).
	manyDocuments = 3000
	documentSize  = 10 << 10
	// fewDocuments of documentSize are more than a list has in memory.
	fewDocuments = 500
	// unlimited is a body timeout that is longer than any test.
	unlimited = 10 * time.Minute
	// streamedDocuments of documentSize are many times what a list has in memory, and the process uses besides.
	streamedDocuments = 2 * manyDocuments
	// maxListMemory bounds the memory of a list of any length. It is a quarter of the list.
	maxListMemory = streamedDocuments * documentSize / 4
	// smallWindow is the receive buffer of a socket. Smaller ones make TCP very slow.
	smallWindow = 256 << 10
)

// fromDatabase has the lists for gateways read from the database for each request, however slowly that is sent.
func fromDatabase(c *server.Config) { c.Limits.BodyTimeout, c.Limits.NodeCache = unlimited, 0 }

// setupStreaming starts a server that sends responses while they are written. That of setup buffers them for its
// checks.
func setupStreaming(t *testing.T, wrap func(http.Handler) http.Handler, change ...func(*server.Config)) *bundle {
	t.Helper()
	var cfg server.Config
	b := setup(t, func(c *server.Config) { cfg = *c })
	for _, each := range change {
		each(&cfg)
	}
	s, err := server.New(cfg)
	require.NoError(t, err)
	web := httptest.NewServer(wrap(s))
	t.Cleanup(web.Close)
	b.url = web.URL
	return b
}

func unwrapped(h http.Handler) http.Handler { return h }

// plainServer starts a server without response checks, for fuzzing, and returns its address.
func plainServer(tb testing.TB, conn string) string {
	tb.Helper()
	db, err := store.Open(tb.Context(), store.Config{ConnString: conn, Now: time.Now, IDs: store.NewIDs(time.Now)})
	require.NoError(tb, err)
	tb.Cleanup(db.Close)
	s, err := server.New(server.Config{
		Store: db, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		AdminSecret: secret, NodeSecret: nodeSecret, PageSize: 10, Contract: loadedContract(),
		Limits: testLimits,
	})
	require.NoError(tb, err)
	web := httptest.NewServer(s)
	tb.Cleanup(web.Close)
	return strings.TrimPrefix(web.URL, "http://")
}

// fill stores n APIs and n policies that have not been checked.
func (b *bundle) fill(org string, n int) {
	b.t.Helper()
	storetest.Exec(b.t, b.conn, `INSERT INTO apis (api_id, id, org_id, active, document)
		SELECT 'many-' || n, lpad(to_hex(n), 24, '0'), $1, true, replace($2, 'NUMBER', n::text)::json FROM generate_series(1, $3) AS n`,
		org, apiOf(org, "many-NUMBER", `"config_data":{"filler":"`+strings.Repeat("x", documentSize)+`"}`), n)
	storetest.Exec(b.t, b.conn, `INSERT INTO policies (id, policy_id, org_id, document)
		SELECT lpad(to_hex(n), 24, '0'), lpad(to_hex(n), 24, '0'), $1, replace($2, 'NUMBER', lpad(to_hex(n), 24, '0'))::json FROM generate_series(1, $3) AS n`,
		org, `{"_id":"NUMBER","org_id":"`+org+`","meta_data":{"filler":"`+strings.Repeat("x", documentSize)+`"}}`, n)
}

// waitForFreeConnections returns when no connection to the database is in use.
func (b *bundle) waitForFreeConnections() {
	b.t.Helper()
	gatewaytest.Eventually(b.t, soon, "all connections are free", func() bool { return b.store.Connections().InUse == 0 })
}

// hideTables makes each statement on APIs and policies fail, until the function that it returns is called.
func (b *bundle) hideTables() (restore func()) {
	b.t.Helper()
	storetest.Exec(b.t, b.conn, `ALTER TABLE apis RENAME TO hidden_apis; ALTER TABLE policies RENAME TO hidden_policies`)
	return func() {
		storetest.Exec(b.t, b.conn, `ALTER TABLE hidden_apis RENAME TO apis; ALTER TABLE hidden_policies RENAME TO policies`)
	}
}

// getSlowly requests a list, and reads no more of the response than is read from body.
func (b *bundle) getSlowly(path, key string) (body io.Reader) {
	b.t.Helper()
	_, body = b.slowConnection(path, key)
	return body
}

// slowConnection is getSlowly, and returns the connection as well.
func (b *bundle) slowConnection(path, key string) (conn net.Conn, body io.Reader) {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(b.t, conn.(*net.TCPConn).SetReadBuffer(smallWindow))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: gatehouse\r\nConnection: close\r\nAuthorization: %s\r\nAdmin-Auth: %s\r\n\r\n", path, key, secret)
	require.NoError(b.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(b.t, err)
	require.Equal(b.t, 200, resp.StatusCode)
	return conn, resp.Body
}

// liveMemory returns the size of all live objects of the process in bytes.
func liveMemory() int {
	runtime.GC()
	runtime.GC() // the second one frees the contents of pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// eachElement reads a list and calls each with the number of each element, from 1. It keeps one element in memory.
func eachElement(t *testing.T, body io.Reader, each func(int)) {
	t.Helper()
	list := json.NewDecoder(body)
	for range 3 { // { "Message" [
		_, err := list.Token()
		require.NoError(t, err)
	}
	for n := 1; list.More(); n++ {
		var element json.RawMessage
		require.NoError(t, list.Decode(&element), "element %d", n)
		each(n)
	}
	rest, err := io.ReadAll(io.MultiReader(list.Buffered(), body))
	require.NoError(t, err)
	require.Regexp(t, `^\],"Nonce":"[^"]+"}$`, string(rest))
}

func TestNodeListsAreTheStoredBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	odd := `"z":1,"a":{"y":[1.10,1e2,-0,0.5e-7,123456789012345678901234567890],"b":"env://TOKEN","B":"secrets://x","vault":"vault://a.b","c":"<&>\u00e9é\/\n\ud83d\ude00"},"":null`
	apis := []string{
		strings.Replace(apiOf(org, "first", `"id":"5fa2db834e07444f760b7ceb","config_data":{`+odd+`},`), `"api_id"`, `"active":true,"api_id"`, 1),
		`{"sort_by":7,"oas":{"paths":{},"openapi":"3.0.3","info":{"version":"1.10","title":"env://TITLE"},"x-odd":{` + odd + `}},` +
			apiOf(org, "second", `"id":"5fa2db834e07444f760b7cec"`)[1:],
	}
	policies := []string{
		`{"rate":3.0,"_id":"61df10078f11dd00097cb55f","per":60,"org_id":"` + org + `","meta_data":{` + odd + `}}`,
		`{"org_id":"` + org + `","_id":"61df10078f11dd00097cb560","id":"gold","name":"\u0047old"}`,
	}
	for i := range apis {
		apis[i] = strings.ReplaceAll(apis[i], ",,", ",")
		require.True(t, json.Valid([]byte(apis[i])), apis[i])
	}
	b.importAPIs(apis...).message(200, "APIs imported")
	b.importPolicies(policies...).message(200, "Policies imported")
	sends := func(path string, documents []string) {
		t.Helper()
		want, got := `{"Message":[`+strings.Join(documents, ",")+`],"Nonce":"`, b.node("GET", path, nil).is(200).body
		require.Equal(t, want, got[:min(len(want), len(got))])
		require.Regexp(t, `^[^"]+"}$`, got[len(want):])
	}
	sends("/system/apis", apis)
	sends("/system/policies", policies)

	t.Run("documents that another program has stored, too", func(t *testing.T) {
		spaced := "{ \"api_definition\" :\n\t" + strings.TrimSuffix(strings.TrimPrefix(apis[0], `{"api_definition":`), "}") + " }"
		storetest.Exec(t, b.conn, `UPDATE apis SET document = $1 WHERE api_id = 'first'`, spaced)
		storetest.Announce(t, b.conn)
		for range 2 { // unchecked, and checked
			sends("/system/apis", []string{spaced, apis[1]})
		}
	})
}

func TestNodeListsAreStreamed(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	b := setupStreaming(t, unwrapped, fromDatabase)
	b.fill(b.org(), streamedDocuments)
	for _, path := range []string{"/system/apis", "/system/policies"} {
		for _, name := range []string{"unchecked documents", "checked documents"} {
			t.Run(path+", "+name, func(t *testing.T) {
				before, sent := liveMemory(), 0
				eachElement(t, b.getSlowly(path, nodeSecret), func(n int) {
					sent = n
					if n == 1 || n == streamedDocuments/3 || n == streamedDocuments*2/3 {
						b.waitForFreeConnections()
						require.Less(t, liveMemory()-before, maxListMemory, "after %d documents", n)
					}
				})
				require.Equal(t, streamedDocuments, sent)
			})
		}
	}
}

// TestNodeListWaitsForTheDatabase: what the server does after a list is written is no time of the client.
func TestNodeListWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	const bodyTimeout = time.Second // the results of checks may wait longer
	b := setupStreaming(t, unwrapped, fromDatabase, func(c *server.Config) { c.Limits.BodyTimeout = bodyTimeout })
	b.importPolicies(`{"_id":"61df10078f11dd00097cb55f","org_id":"`+b.org()+`"}`).message(200, "Policies imported")
	storetest.Exec(t, b.conn, `UPDATE policies SET checked = NULL`)

	free := lock(t, b.conn, `LOCK TABLE policies IN SHARE MODE`) // rows can be read
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/system/policies", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", nodeSecret)
	var list []byte
	received := make(chan error, 1)
	go func() {
		// On a connection of its own: a request that gets no response on one that is kept is repeated.
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err == nil {
			list, err = io.ReadAll(response.Body)
			_ = response.Body.Close()
		}
		received <- err
	}()
	require.Eventually(t, func() bool {
		return storetest.WaitsForLock(t, b.conn)
	}, soon, pollEvery)
	time.Sleep(2 * bodyTimeout)
	free()
	require.NoError(t, <-received)
	require.Contains(t, string(list), `],"Nonce":"`)
}

// TestNodeListsDoNotWaitForRows: an import that changes documents holds their rows until its end.
func TestNodeListsDoNotWaitForRows(t *testing.T) {
	t.Parallel()
	b := setup(t, fromDatabase)
	org := b.org()
	const held, free = "61df10078f11dd00097cb55f", "61df10078f11dd00097cb560"
	b.importAPIs(apiOf(org, held), apiOf(org, free)).message(200, "APIs imported")
	b.importPolicies(`{"_id":"`+held+`","org_id":"`+org+`"}`, `{"_id":"`+free+`","org_id":"`+org+`"}`).message(200, "Policies imported")
	for _, list := range []struct{ table, id string }{{"apis", "api_id"}, {"policies", "id"}} {
		t.Run(list.table, func(t *testing.T) {
			storetest.Exec(t, b.conn, `UPDATE `+list.table+` SET checked = NULL`)
			release := lock(t, b.conn, `SELECT FROM `+list.table+` WHERE `+list.id+` = '`+held+`' FOR UPDATE`)
			checked := func() string {
				got := b.node("GET", "/system/"+list.table, nil).is(200).body
				require.Contains(t, got, `"`+held+`"`)
				require.Contains(t, got, `"`+free+`"`)
				return storetest.Value[string](t, b.conn, `SELECT coalesce(string_agg(`+list.id+`, ',' ORDER BY `+list.id+`), '')
					FROM `+list.table+` WHERE checked IS NOT NULL`)
			}
			require.Equal(t, free, checked())
			release()
			require.Equal(t, held+","+free, checked())
		})
	}
}

func TestBrokenNodeListDoesNotDecode(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped, fromDatabase)
	b.fill(b.org(), manyDocuments)
	for _, path := range []string{"/system/apis", "/system/policies"} {
		t.Run(path, func(t *testing.T) {
			body := b.getSlowly(path, nodeSecret)
			restore := b.hideTables()
			got, err := io.ReadAll(body)
			restore()
			require.NoError(t, err, "the response is complete: a gateway would take any other for a lost dashboard")
			for _, decode := range []error{
				json.Unmarshal(got, &struct{ Message []json.RawMessage }{}),
				json.NewDecoder(bytes.NewReader(got)).Decode(&struct{ Message []json.RawMessage }{}),
			} {
				var syntax *json.SyntaxError
				require.ErrorAs(t, decode, &syntax)
				require.NotContains(t, decode.Error(), "EOF", "a gateway registers within its reload after an EOF, and deadlocks")
			}
			require.Contains(t, b.log.String(), "list broken off")
		})
	}
	eachElement(t, b.getSlowly("/system/apis", nodeSecret), func(int) {}) // the next one is complete
}

// hold delays the responses of a path after their first write, as a slow connection does.
type hold struct {
	path string
	// held is closed when a response is delayed: its status and its first bytes have been sent.
	held, release chan struct{}
	once          sync.Once
}

func (h *hold) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == h.path {
			w = &heldWriter{ResponseWriter: w, hold: h}
		}
		next.ServeHTTP(w, r)
	})
}

type heldWriter struct {
	http.ResponseWriter
	hold  *hold
	begun bool
}

// Write implements io.Writer.
func (w *heldWriter) Write(p []byte) (int, error) {
	if w.begun {
		w.hold.once.Do(func() { close(w.hold.held) })
		<-w.hold.release
	}
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestGatewayKeepsItsConfigurationWhenAListBreaksOff(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/system/apis", "/system/policies"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			line := &hold{path: path, held: make(chan struct{}), release: make(chan struct{})}
			b := setupStreaming(t, line.wrap, fromDatabase)
			org := b.org()
			b.importAPIs(apiOf(org, "harbour")).is(200)
			g := gatewaytest.Start(t, gatewaytest.Config{
				DashboardURL: b.url, NodeSecret: nodeSecret, ControlSecret: controlSecret,
				PingInterval: 100 * time.Millisecond, ReloadInterval: 50 * time.Millisecond, RetryInterval: 50 * time.Millisecond,
			})
			g.WaitReady(t, soon)
			reload := func() {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL()+"/tyk/reload", nil)
				require.NoError(t, err)
				r.Header.Set("X-Tyk-Authorization", controlSecret)
				send(t, r).is(200)
			}
			b.fill(org, fewDocuments)
			reload()
			<-line.held // before, a failure would be a 500, which has nothing to do with broken lists
			restore := b.hideTables()
			close(line.release)
			gatewaytest.Eventually(t, soon, "the reload fails", func() bool { return len(g.ReloadErrors()) == 1 })
			require.Contains(t, g.ReloadErrors()[0], "invalid character '!'")
			require.Equal(t, []string{"harbour"}, g.APIs())
			require.Equal(t, 1, g.Registrations(), "it did not register again")
			require.False(t, g.Deadlocked())

			restore()
			before := g.Reloads()
			reload()
			g.WaitReloads(t, before+1, soon)
			require.Len(t, g.APIs(), 1+fewDocuments)
			require.Len(t, g.Policies(), fewDocuments)
		})
	}
}
