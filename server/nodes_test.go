package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/store/storetest"
)

// node sends a request as a gateway does.
func (b *bundle) node(method, path string, body any, change ...with) reply {
	b.t.Helper()
	return b.do(method, path, body, append([]with{header("Authorization", nodeSecret)}, change...)...)
}

// nodeReply is a response other than a list, as gateways decode it: Message is an object of strings.
type nodeReply struct {
	Status  string
	Message map[string]string
	Nonce   string
}

func (r reply) nodeReply() (h nodeReply) {
	r.t.Helper()
	r.is(200)
	decoder := json.NewDecoder(strings.NewReader(r.body))
	decoder.DisallowUnknownFields()
	require.NoErrorf(r.t, decoder.Decode(&h), "%s: %s", r.what, r.body)
	require.Equal(r.t, "OK", h.Status, r.what)
	require.NotNil(r.t, h.Message, r.what)
	require.NotEmpty(r.t, h.Nonce, r.what)
	return h
}

func session(id string) with { return header("X-Tyk-Session-Id", id) }

// register registers a node and returns its ID.
func (b *bundle) register(change ...with) string {
	b.t.Helper()
	h := b.node("GET", "/register/node", nil, change...).nodeReply()
	require.NotEmpty(b.t, h.Message["NodeID"])
	return h.Message["NodeID"]
}

// ping sends a node's heartbeat.
func (b *bundle) ping(id string) reply {
	b.t.Helper()
	return b.node("GET", "/register/ping", nil, header("X-Tyk-Nodeid", id))
}

// nodes returns the nodes that the server lists.
func (b *bundle) nodes() []admin.Node {
	b.t.Helper()
	var list admin.Nodes
	b.admin("GET", "/admin/nodes", nil).is(200).json(&list)
	return list.Nodes
}

// nodeOperations returns the operations that gateways call.
func nodeOperations() []operation {
	return slices.DeleteFunc(operations(), func(op operation) bool { return op.scheme != "node_secret" })
}

func TestNodeRegisters(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b, replica := setupOn(t, conn), setupOn(t, conn)
	first := b.register(session("s-1"), header("X-Tyk-Hostname", "quay-1"))

	t.Run("the same session is the same node, through every replica", func(t *testing.T) {
		require.Equal(t, first, b.register(session("s-1")))
		require.Equal(t, first, replica.register(session("s-1"), header("X-Tyk-Hostname", "quay-2")))
		replica.ping(first).nodeReply()
		require.Len(t, b.nodes(), 1)
		require.Equal(t, "quay-2", b.nodes()[0].Hostname, "the last one that it sent")
	})
	t.Run("another session is another node", func(t *testing.T) {
		require.NotEqual(t, first, replica.register(session("s-2")))
		require.Len(t, b.nodes(), 2)
	})
	t.Run("without a session, each registration is a new node", func(t *testing.T) {
		ids := []string{first, b.register(), b.register(), replica.register(session(""))}
		slices.Sort(ids)
		require.Len(t, slices.Compact(ids), 4)
	})
	t.Run("headers may have any length and encoding", func(t *testing.T) {
		for _, id := range []string{strings.Repeat("x", 300), strings.Repeat("é", 200), "\xff\xfe", "'; DROP TABLE nodes --"} {
			require.Equal(t, b.register(session(id), header("X-Tyk-Hostname", id)), b.register(session(id)), "session %q", id)
		}
	})
}

// TestRegistrationWithinAReload: a gateway that loses its dashboard in the middle of a reload registers in it. After a
// 200 it would reload once more, and wait for itself (docs/behaviour.md#registration).
func TestRegistrationWithinAReload(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b, replica := setupOn(t, conn), setupOn(t, conn)
	id := b.register(session("s-1"))
	require.Equal(t, id, replica.register(session("s-1")), "it has sent no heartbeat yet")
	again := func(on *bundle) reply {
		return on.node("GET", "/register/node", nil, session("s-1"), header("X-Tyk-Hostname", "quay-1"))
	}
	b.ping(id).nodeReply()
	for _, each := range []*bundle{b, replica} {
		got := again(each).is(409)
		require.Empty(t, got.body, "JSON would be read by gateways from version 5.13 on")
		require.Empty(t, got.header.Get("Content-Type"))
	}
	require.Equal(t, id, b.nodes()[0].Id, "it keeps its ID")
	b.ping(id).nodeReply()

	t.Run("without a session it is never refused", func(t *testing.T) {
		for _, without := range []with{func(*http.Request) {}, session("")} {
			other := b.register(without)
			b.ping(other).nodeReply()
			require.NotEqual(t, other, b.register(without))
		}
	})
	t.Run("HEAD changes nothing", func(t *testing.T) {
		b.node("HEAD", "/register/node", nil, session("s-1")).is(200)
		again(b).is(409)
	})
	t.Run("a session that is forgotten registers, until its next heartbeat", func(t *testing.T) {
		for _, each := range []*bundle{b, replica} {
			each.clock.forward(61 * time.Second)
		}
		require.Equal(t, id, b.register(session("s-1")))
		require.Equal(t, id, replica.register(session("s-1")))
		b.ping(id).nodeReply()
		again(replica).is(409)
	})
	t.Run("a session that was removed registers", func(t *testing.T) {
		b.node("DELETE", "/system/node", nil, header("X-Tyk-Nodeid", id)).nodeReply()
		require.NotEqual(t, id, b.register(session("s-1")))
	})
}

// TestNodesAreKeptWhileNoServerRuns: nodes that could send no heartbeats are registered, so that one that registers
// within a reload does not hang.
func TestNodesAreKeptWhileNoServerRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gone := b.register(session("gone"))
	b.clock.forward(61 * time.Second)
	ids := map[string]string{}
	for _, name := range []string{"s-1", "s-2"} {
		ids[name] = b.register(session(name))
		b.ping(ids[name]).nodeReply()
	}
	b.clock.forward(time.Hour) // no server runs
	require.NoError(t, b.store.ReviveNodes(t.Context()))
	for name, id := range ids {
		b.node("GET", "/register/node", nil, session(name)).is(409)
		b.ping(id).nodeReply()
	}
	b.ping(gone).is(403)

	b.clock.forward(40 * time.Second)
	b.ping(ids["s-1"]).nodeReply()
	b.clock.forward(25 * time.Second)
	require.NoError(t, b.store.ReviveNodes(t.Context()))
	b.ping(ids["s-2"]).is(403)
	b.clock.forward(48 * time.Hour)
	require.NoError(t, b.store.ReviveNodes(t.Context()))
	b.ping(ids["s-1"]).is(403)
}

func TestFetchesAreRecorded(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	b, replica := setupOn(t, conn), setupOn(t, conn)
	id := b.register(session("s-1"))
	b.register(session("s-2"))
	fetch := func(on *bundle, method, list string, change ...with) {
		t.Helper()
		on.node(method, "/system/"+list, nil, append([]with{header("X-Tyk-Nodeid", id), session("s-1")}, change...)...).is(200)
	}
	require.Nil(t, b.nodes()[0].PoliciesFetched)
	require.Nil(t, b.nodes()[0].ApisFetched)
	fetch(b, "HEAD", "policies")
	fetch(b, "HEAD", "apis")
	require.Nil(t, b.nodes()[0].PoliciesFetched, "HEAD fetches nothing")
	fetch(b, "GET", "policies")
	require.NotNil(t, b.nodes()[0].PoliciesFetched)
	require.Nil(t, b.nodes()[0].ApisFetched)
	fetch(replica, "GET", "apis")
	first := b.nodes()[0]
	require.False(t, first.ApisFetched.Before(*first.PoliciesFetched))
	fetch(replica, "GET", "policies")
	require.True(t, b.nodes()[0].PoliciesFetched.After(*first.PoliciesFetched))
	require.Nil(t, b.nodes()[1].ApisFetched, "another node")
	for name, change := range hostileHeaders() {
		for _, list := range []string{"apis", "policies"} {
			b.node("GET", "/system/"+list, nil, change).is(200)
			require.NotContains(t, b.log.String(), "record fetch of a gateway failed", name)
		}
	}
	t.Run("a gateway that registers within a reload has to fetch its APIs again", func(t *testing.T) {
		b.ping(id).nodeReply()
		b.node("GET", "/register/node", nil, session("s-1")).is(409)
		require.Nil(t, b.nodes()[0].ApisFetched)
		require.NotNil(t, b.nodes()[0].PoliciesFetched)
	})
}

func TestNodeExpiresAfterAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock.freeze()
	id := b.register(session("s-1"))
	b.clock.forward(55 * time.Second)
	b.ping(id).nodeReply()
	b.clock.forward(55 * time.Second)
	b.ping(id).nodeReply()
	require.Len(t, b.nodes(), 1, "each heartbeat extends it by a minute")

	b.clock.forward(61 * time.Second)
	require.Empty(t, b.nodes())
	require.Zero(t, helloNodes(b))
	b.ping(id).message(403, "Not registered")
	b.ping(id).message(403, "Not registered")
	b.ping("").message(403, "Not registered")

	t.Run("it has the same ID when it registers again", func(t *testing.T) {
		require.Equal(t, id, b.register(session("s-1")))
		b.ping(id).nodeReply()
	})
	t.Run("it has a new ID if its row was deleted, which another registration does", func(t *testing.T) {
		b.clock.forward(61 * time.Second)
		b.register(session("s-2"))
		again := b.register(session("s-1"))
		b.ping(id).is(403)
		b.ping(again).nodeReply()
	})
}

func helloNodes(b *bundle) int {
	b.t.Helper()
	var health struct {
		Details map[string]struct{ ObservedValue *int }
	}
	b.do("GET", "/hello", nil).is(200).json(&health)
	require.NotNil(b.t, health.Details["nodes"].ObservedValue)
	return *health.Details["nodes"].ObservedValue
}

// fatalWords are words in a 403 that make a gateway register within its reload, and deadlock
// (docs/behaviour.md#gateways).
var fatalWords = []string{"nonce", "no node id found", "node id"}

func TestEveryNodeOperationRequiresTheNodeSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known := []with{header("X-Tyk-Nodeid", b.register(session("s-1"))), session("s-1"), header("X-Tyk-Nonce", "n")}
	require.Len(t, nodeOperations(), 7)
	for _, op := range nodeOperations() {
		for _, wrong := range []string{"", "wrong", nodeSecret + "x", nodeSecret[1:], "Bearer " + nodeSecret, secret, strings.ToUpper(nodeSecret)} {
			got := b.do(op.method, op.target(nil), op.requestBody(t), append(known, header("Authorization", wrong))...)
			got.message(403, "Not authorised")
			for _, word := range fatalWords {
				require.NotContains(t, strings.ToLower(got.body), word, op.id)
			}
		}
		got := b.do(op.method, op.target(nil), op.requestBody(t), append(known, header("Admin-Auth", secret))...)
		got.is(403)
	}
	require.Len(t, b.nodes(), 1, "the nodes are unchanged")
}

// hostileHeaders returns headers that no gateway sends.
func hostileHeaders() map[string]with {
	all := map[string]with{"none": func(*http.Request) {}}
	for _, name := range []string{"X-Tyk-Nodeid", "X-Tyk-Nonce", "X-Tyk-Session-Id", "X-Tyk-Hostname"} {
		for what, value := range map[string]string{
			"empty": "", "unknown": "solo-3b0e1dfe", "huge": strings.Repeat("a", 30<<10), "invalid UTF-8": "\xff\xc3\x28", "a tab": "a\tb", "cut within a rune": strings.Repeat("é", 128) + "x",
		} {
			all[name+" "+what] = header(name, value)
		}
		all[name+" twice"] = twice(name)
	}
	return all
}

func TestSystemIsNever403ForTheRightSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, op := range nodeOperations() {
		if !strings.HasPrefix(op.path, "/system/") {
			continue
		}
		for name, change := range hostileHeaders() {
			got := b.node(op.method, op.target(nil), op.requestBody(t), change)
			if op.id == "removeNode" && name == "X-Tyk-Nodeid twice" {
				got.message(400, "Request header malformed")
				continue
			}
			require.Equalf(t, 200, got.status, "%s with %s: %s", op.id, name, got.body)
		}
	}
}

func TestNodeNoncesAreUniqueAndNotChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.register(session("s-1"))
	seen := map[string]bool{}
	last := "made-up"
	for range 3 {
		for _, op := range nodeOperations() {
			if op.id == "removeNode" { // the node must stay registered
				continue
			}
			as := session("s-1")
			if op.id == "registerNode" { // a session that has sent a heartbeat would get a 409
				as = session("another")
			}
			for range 2 { // the same nonce twice, as a gateway sends it at its start
				var response struct{ Nonce string }
				b.node(op.method, op.target(nil), op.requestBody(t), as, header("X-Tyk-Nodeid", id), header("X-Tyk-Nonce", last)).is(200).json(&response)
				require.NotEmpty(t, response.Nonce, op.id)
				require.False(t, seen[response.Nonce], "%s: %s was sent before", op.id, response.Nonce)
				seen[response.Nonce] = true
			}
		}
		for last = range seen { // any one
			break
		}
	}
	require.Len(t, seen, 3*2*6)
}

func TestNodeResponsesDecodeInAGateway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.register(session("s-1"), header("X-Tyk-Hostname", "quay-1"))
	require.Empty(t, b.ping(id).nodeReply().Message)
	require.Empty(t, b.node("POST", "/system/key/quota_trigger", quotaReached).nodeReply().Message)
	require.Empty(t, b.node("DELETE", "/system/node", nil, header("X-Tyk-Nodeid", id)).nodeReply().Message)
	for _, list := range []string{"/system/apis", "/system/policies", "/system/clientidps"} {
		var response struct {
			Message []json.RawMessage
			Nonce   string
		}
		got := b.node("GET", list, nil).is(200)
		got.json(&response)
		require.NotEmpty(t, response.Nonce, list)
		require.True(t, strings.HasPrefix(got.body, `{"Message":[],"Nonce":"`), got.body)
		require.Equal(t, "application/json", got.header.Get("Content-Type"), list)
	}
}

func TestNodesAreListedAndCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.clock.freeze()
	require.Equal(t, `{"nodes":[]}`, b.admin("GET", "/admin/nodes", nil).is(200).body)
	require.Zero(t, helloNodes(b))
	first := b.register(session("s-1"), header("X-Tyk-Hostname", "quay-1"))
	b.clock.forward(10 * time.Second)
	second := b.register(session("s-2"), header("X-Tyk-Hostname", "quay-2"))
	b.clock.forward(10 * time.Second)
	b.ping(first).nodeReply()
	listed := b.nodes()
	require.Len(t, listed, 2)
	require.Equal(t, 2, helloNodes(b))
	require.Equal(t, []string{first, "s-1", "quay-1"}, []string{listed[0].Id, listed[0].SessionId, listed[0].Hostname}, "oldest first")
	require.Equal(t, []string{second, "s-2", "quay-2"}, []string{listed[1].Id, listed[1].SessionId, listed[1].Hostname})
	require.Equal(t, listed[0].FirstSeen.Add(20*time.Second), listed[0].LastSeen, "the time of its heartbeat")
	require.Equal(t, listed[1].FirstSeen, listed[1].LastSeen)
	b.do("GET", "/admin/nodes", nil, header("Authorization", nodeSecret)).is(401)
}

func TestNodeUnregisters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, other := b.register(session("s-1")), b.register(session("s-2"))
	leave := func() reply { return b.node("DELETE", "/system/node", nil, header("X-Tyk-Nodeid", id)) }
	leave().nodeReply()
	b.ping(id).is(403)
	b.ping(other).nodeReply()
	require.Len(t, b.nodes(), 1)
	leave().nodeReply()
	b.node("DELETE", "/system/node", nil).nodeReply()
	require.Len(t, b.nodes(), 1)
	require.NotEqual(t, id, b.register(session("s-1")), "it is a new node")
}

const quotaReached = `{"Message":"Quota trigger reached","OriginatingRequest":"","org_id":"53ac07777cbb8c2d53000002",` +
	`"key":"a-key-that-opens-doors","trigger_limit":50,"usage_percentage":51}`

func TestQuotaTriggerIsLoggedWithoutTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.node("POST", "/system/key/quota_trigger", quotaReached).nodeReply()
	require.Contains(t, b.log.String(), `msg="a key has used a part of its quota" org_id=53ac07777cbb8c2d53000002 limit_percent=50 used_percent=51`)
	b.node("POST", "/system/key/quota_trigger", `{}`).nodeReply()
	b.node("POST", "/system/key/quota_trigger", `{"key":{"a-key-that-opens-doors":1}}`).message(400, "Request body malformed")
	b.node("POST", "/system/key/quota_trigger", `{"key":"a-key-that-opens-doors","trigger_limit":12345678901234567890}`).message(400, "Request body malformed")
	require.NotContains(t, b.log.String(), "a-key-that-opens-doors")
	b.node("POST", "/system/key/quota_trigger", `{"org_id":"`+strings.Repeat("long", 100)+`"}`).nodeReply()
	require.NotContains(t, b.log.String(), strings.Repeat("long", 33))
}

func TestConcurrentRegistrations(t *testing.T) {
	t.Parallel()
	const many = 50
	conn := storetest.Database(t)
	replicas := []*bundle{setupOn(t, conn), setupOn(t, conn)}
	atOnce := func(sessionOf func(int) string) (ids []string) {
		ids = make([]string, many)
		var running sync.WaitGroup
		for i := range many {
			running.Go(func() {
				r := replicas[i%2].node("GET", "/register/node", nil, session(sessionOf(i)))
				var response nodeReply
				if r.status == http.StatusOK && json.Unmarshal([]byte(r.body), &response) == nil {
					ids[i] = response.Message["NodeID"]
				}
			})
		}
		running.Wait()
		require.NotContains(t, ids, "", "a registration failed")
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	t.Run("one session is one node", func(t *testing.T) {
		require.Len(t, atOnce(func(int) string { return "s-1" }), 1)
		require.Len(t, replicas[0].nodes(), 1)
	})
	t.Run("many sessions are as many nodes, while expired ones are deleted", func(t *testing.T) {
		for range 3 {
			require.Len(t, atOnce(strconv.Itoa), many)
			for _, r := range replicas {
				r.clock.forward(61 * time.Second)
			}
		}
		require.Empty(t, replicas[0].nodes())
	})
}

// FuzzNodeHeaders sends requests as bytes, with headers that no client library would send.
func FuzzNodeHeaders(f *testing.F) {
	paths := nodeOperations()
	for _, change := range hostileHeaders() {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		change(r)
		h := func(name string) string { return strings.Join(r.Header[name], "\x00") }
		for op := range paths {
			f.Add(uint8(op), true, h("X-Tyk-Nodeid"), h("X-Tyk-Nonce"), h("X-Tyk-Session-Id"), h("X-Tyk-Hostname"), "{}")
		}
	}
	f.Add(uint8(0), false, "\x7f", "\x1b[31m", " ", "\x80", quotaReached)
	f.Add(uint8(6), true, "%00", `\u0000`, "\t", "a\x00b", `{"org_id":"\u0000","key":"\ud800"}`)
	address := plainServer(f, storetest.Database(f))
	f.Fuzz(func(t *testing.T, which uint8, authorised bool, id, nonce, session, hostname, body string) {
		op := paths[int(which)%len(paths)]
		given := map[bool]string{true: nodeSecret, false: "wrong"}[authorised]
		status, text := sendBytes(t, address, requestBytes(op, given, body, map[string]string{
			"x-tyk-nodeid": id, "x-tyk-nonce": nonce, "x-tyk-session-id": session, "x-tyk-hostname": hostname,
		}))
		require.Less(t, status, 500, "%s: %s", op.id, text)
		if authorised && strings.HasPrefix(op.path, "/system/") {
			require.NotEqual(t, http.StatusForbidden, status, "%s: %s", op.id, text)
		}
		if !authorised {
			require.GreaterOrEqual(t, status, 400, "%s: %s", op.id, text)
		}
		if status == http.StatusForbidden {
			for _, word := range fatalWords {
				require.NotContains(t, strings.ToLower(text), word)
			}
		}
	})
}

// validHeader removes what net/http rejects before a handler runs.
func validHeader(value string) string {
	const longest = 64 << 10 // twelve of them are less than the 1 MiB that net/http accepts
	return string(slices.DeleteFunc([]byte(value[:min(len(value), longest)]), func(b byte) bool {
		return b < ' ' && b != '\t' || b == '\x7f'
	}))
}

// requestBytes returns a request. A header is repeated for each NUL in its value, up to three times.
func requestBytes(op operation, secret, body string, headers map[string]string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: gatehouse\r\nConnection: close\r\nAuthorization: %s\r\n", op.method, op.path, secret)
	if op.declared.RequestBody != nil {
		fmt.Fprintf(&out, "Content-Length: %d\r\n", len(body))
	} else {
		body = ""
	}
	for name, values := range headers {
		for _, value := range strings.SplitN(values, "\x00", 3) {
			out.WriteString(name + ": " + validHeader(value) + "\r\n")
		}
	}
	return out.String() + "\r\n" + body
}

// sendBytes sends a request on a new connection.
func sendBytes(t *testing.T, address, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(request))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, "no response")
	defer resp.Body.Close()
	var text strings.Builder
	_, err = bufio.NewReader(resp.Body).WriteTo(&text)
	require.NoError(t, err)
	return resp.StatusCode, text.String()
}
