package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// listOf returns a list for gateways as a server sends it: of two APIs, the last with this name.
func listOf(name string, padding int) string {
	return fmt.Sprintf(`{"Message":[{"api_definition":{"api_id":"1","name":"%s"}},{"api_definition":{"api_id":"2","name":"%s"}}`,
		strings.Repeat("x", padding), name)
}

func nonceEnd(nonce string) string { return `],"Nonce":"` + nonce + `"}` }

// responseOf returns a response whose body has these parts, each a gzip member if compressed.
func responseOf(t *testing.T, compressed bool, parts ...string) *http.Response {
	t.Helper()
	var body bytes.Buffer
	for _, part := range parts {
		if !compressed {
			body.WriteString(part)
			continue
		}
		w := gzip.NewWriter(&body)
		_, err := io.WriteString(w, part)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	response := &http.Response{Header: http.Header{}, Body: io.NopCloser(iotest.HalfReader(&body))}
	if compressed {
		response.Header.Set("Content-Encoding", "gzip")
	}
	return response
}

func TestKnownLists(t *testing.T) {
	t.Parallel()
	const nonce, otherNonce = "8b1f6b9a-0000-4000-8000-000000000001", "8b1f6b9a-0000-4000-8000-000000000002"
	for _, compressed := range []bool{false, true} {
		for _, padding := range []int{0, 100, tailSize, 200_000} {
			t.Run(fmt.Sprintf("compressed %t, padding %d", compressed, padding), func(t *testing.T) {
				t.Parallel()
				receive := func(keep bool, parts ...string) receivedList {
					list, err := receiveList(responseOf(t, compressed, parts...), keep)
					require.NoError(t, err)
					return list
				}
				known := newKnownLists(2)
				other := receive(false, listOf("fleet change 7", padding), nonceEnd(otherNonce))
				require.False(t, known.has(other, 7), "no reader has decoded it")
				known.read(receive(true, listOf("fleet change 7", padding), nonceEnd(nonce)))
				require.NoError(t, known.wait())
				require.True(t, known.has(other, 7), "only the nonce differs")
				require.False(t, known.has(other, 8), "the change came later")
				read, err := other.nonce()
				require.NoError(t, err)
				require.Equal(t, otherNonce, read)
				mixed := receive(false, listOf("fleet change 6", padding), nonceEnd(otherNonce))
				require.False(t, known.has(mixed, 0), "no reader has decoded a list with other bytes")
				broken := receive(false, listOf("fleet change 7", padding), "\n!")
				_, err = broken.nonce()
				require.Error(t, err, "the list is not complete")
			})
		}
	}
}

func TestDecodeList(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"too few":    `{"Message":[{"api_definition":{"api_id":"1"}}],"Nonce":"n"}`,
		"no ID":      `{"Message":[{"api_definition":{"api_id":"1"}},{"api_definition":{}}],"Nonce":"n"}`,
		"twice":      `{"Message":[{"api_definition":{"api_id":"1"}},{"api_definition":{"api_id":"1"}}],"Nonce":"n"}`,
		"no nonce":   `{"Message":[{"api_definition":{"api_id":"1"}},{"api_definition":{"api_id":"2"}}]}`,
		"ends early": `{"Message":[{"api_definition":{"api_id":"1"}},`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeList(receivedList{full: []byte(text)}, 2)
			require.Error(t, err)
		})
	}
}

func TestFleetSizes(t *testing.T) {
	t.Parallel()
	p, _, err := parseArgs([]string{"-fleet-apis", "2000,100", "-fleet-gateways", "10"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []int{100, 2000}, p.fleet.apis)
	require.Equal(t, []int{10}, p.fleet.gateways)
	for _, wrong := range []string{"0", "x", "1,,2", "1000000"} {
		_, _, err := parseArgs([]string{"-fleet-gateways", wrong}, io.Discard)
		require.ErrorContains(t, err, "is no number from 1 to", wrong)
	}
}

// dashboardStub counts the requests of gateways, and answers them.
type dashboardStub struct {
	mu       sync.Mutex
	requests map[string]int // by path
	forgets  bool           // answers the next ping with 403
	name     string         // of an API
}

func (d *dashboardStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests[r.URL.Path]++
	switch {
	case r.Header.Get("Authorization") != nodeSecret:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/system/apis":
		_, _ = io.WriteString(w, listOf(d.name, 0)+nonceEnd("n"))
	case r.URL.Path == "/system/policies":
		_, _ = io.WriteString(w, `{"Message":[{"_id":"1"}`+nonceEnd("n"))
	case r.URL.Path == "/register/ping" && (d.forgets || r.Header.Get("X-Tyk-Nodeid") != "node"):
		d.forgets = false
		w.WriteHeader(http.StatusForbidden)
	default:
		_, _ = io.WriteString(w, `{"Status":"OK","Message":{"NodeID":"node"},"Nonce":"n"}`)
	}
}

// change changes the stub, and returns how many requests for a path it had before.
func (d *dashboardStub) change(path string, change func()) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	return d.requests[path]
}

func (d *dashboardStub) count(path string) int { return d.change(path, func() {}) }

func TestFleet(t *testing.T) {
	t.Parallel()
	const gateways, patience = 3, time.Minute
	stub := &dashboardStub{requests: map[string]int{}, name: "fleet change 1"}
	server := httptest.NewServer(stub)
	defer server.Close()
	f := newFleet(t.Context(), fleetConfig{
		url: server.URL, pingInterval: 10 * time.Millisecond, reloadInterval: 10 * time.Millisecond,
		apis: newKnownLists(2), policies: newKnownLists(1), count: &fleetCounts{},
	})
	defer f.stop()
	control, err := startControlAPI(t.Context(), f.notify)
	require.NoError(t, err)
	defer control.close()
	require.NoError(t, f.grow(gateways, patience))
	for _, path := range []string{"/register/node", "/system/policies", "/system/apis"} {
		require.Equal(t, gateways, stub.count(path), path)
	}

	t.Run("after a notice all have a change", func(t *testing.T) {
		f.forgetLoads()
		stub.change("", func() { stub.name = "fleet change 2" })
		committed := time.Now()
		reload(t, control, controlSecret, http.StatusOK)
		a, err := f.await(2, committed, patience)
		require.NoError(t, err)
		require.Equal(t, gateways, a.have)
		require.Positive(t, a.median)
		require.LessOrEqual(t, a.median, a.last)
		require.LessOrEqual(t, a.lastNet, a.last)
	})
	t.Run("without a notice they do not", func(t *testing.T) {
		f.forgetLoads()
		stub.change("", func() { stub.name = "fleet change 3" })
		reload(t, control, "another secret", http.StatusForbidden)
		a, err := f.await(3, time.Now(), 100*time.Millisecond)
		require.NoError(t, err)
		require.Zero(t, a.have)
	})
	t.Run("one that is forgotten registers again", func(t *testing.T) {
		before := stub.change("/register/node", func() { stub.forgets = true })
		require.Eventually(t, func() bool { return stub.count("/register/node") > before }, patience, time.Millisecond)
	})
}

// reload sends a notice to a control API.
func reload(t *testing.T, control *controlAPI, secret string, status int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://"+control.listener.Addr().String()+"/tyk/reload/group", http.NoBody)
	require.NoError(t, err)
	r.Header.Set("X-Tyk-Authorization", secret)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, status, response.StatusCode)
}
