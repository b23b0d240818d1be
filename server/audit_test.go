package server_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/remoteaddr"
	"gatehouse/openapi/scenarios"
	"gatehouse/server"
)

// auditRecords are the lines of an audit log. It is a slog.Handler.
type auditRecords struct {
	off       bool       // the server has no audit log
	mu        sync.Mutex // guards what follows, for the time of one call
	lines     []map[string]string
	byRequest map[string][]map[string]string // the latest line first
}

func (a *auditRecords) Enabled(context.Context, slog.Level) bool { return true }
func (a *auditRecords) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a *auditRecords) WithGroup(string) slog.Handler            { return a }

func (a *auditRecords) Handle(_ context.Context, record slog.Record) error {
	line := map[string]string{}
	record.Attrs(func(attr slog.Attr) bool {
		line[attr.Key] = attr.Value.String()
		return true
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, line)
	if a.byRequest == nil {
		a.byRequest = map[string][]map[string]string{}
	}
	a.byRequest[line["req_id"]] = slices.Insert(a.byRequest[line["req_id"]], 0, line)
	return nil
}

// of returns the lines of the request with an ID, the latest first.
func (a *auditRecords) of(requestID string) []map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.byRequest[requestID])
}

// last returns the last line as one would read it, without the request's ID and details.
func (a *auditRecords) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.lines) == 0 {
		return ""
	}
	var words []string
	for _, name := range []string{
		"who", "user", "org_id", "node", "action", "object", "object_id", "new_id", "email", "base", "outcome", "status", "imported", "refused", "deleted", "ids",
	} {
		if value, ok := a.lines[len(a.lines)-1][name]; ok {
			words = append(words, name+"="+value)
		}
	}
	return strings.Join(words, " ")
}

func (a *auditRecords) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return fmt.Sprint(a.lines)
}

// auditedGETs are the operations with the method GET that change something.
var auditedGETs = []string{"reloadURLs", "registerNode", "redeemDashboardNonce", "redeemPortalNonce"}

// unauditedPosts change nothing.
var unauditedPosts = []string{"triggerQuota", "searchUser", "checkText", "setLicense", "setAdminLicense"}

// isAudited reports whether the audit log must have a line of a request for an operation.
func isAudited(method, operation string) bool {
	return slices.Contains(auditedGETs, operation) && method == http.MethodGet ||
		method != http.MethodGet && method != http.MethodHead && !slices.Contains(unauditedPosts, operation)
}

// check compares the audit log with a request and its response: it must have one line of a request that may change
// something, whatever its outcome, and none of any other. All tests of this package are held to it.
func (a *auditRecords) check(r *http.Request, rec *recorder) error {
	method := r.Method
	if a.off {
		return nil
	}
	operation := routeOf(method, r.URL.EscapedPath())
	lines := a.of(rec.Header().Get("X-Request-Id"))
	if operation == "" || !isAudited(method, operation) {
		if len(lines) > 0 && r.Header.Get("X-Request-Id") == "" {
			return fmt.Errorf("the audit log has a line of what changes nothing: %v", lines)
		}
		return nil
	}
	switch {
	case len(lines) == 0:
		return errors.New("the audit log has no line of it")
	case len(lines) > 1 && r.Header.Get("X-Request-Id") == "":
		return fmt.Errorf("the audit log has more than one line of it: %v", lines)
	case lines[0]["action"] != operation || lines[0]["ip"] == "" || lines[0]["who"] == "":
		return fmt.Errorf("the audit log has another request: %v", lines[0])
	case lines[0]["status"] != strconv.Itoa(rec.Code):
		return fmt.Errorf("the audit log has the status %s, the client %d", lines[0]["status"], rec.Code)
	}
	return nil
}

func TestAuditLog(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.SecondAdminSecret = "the-second-admin-secret" })
	said := func(want string) {
		t.Helper()
		require.Equal(t, want, b.audit.last())
	}
	org := b.org()
	said("who=admin_secret action=createOrg object=organisation object_id=" + org + " outcome=ok status=200")
	u := b.user(org, "u@example.org", map[string]string{"IsAdmin": "admin"})
	said("who=admin_secret action=createUser object=user object_id=" + u.Id + " email=u@example.org outcome=ok status=200")
	user := "who=user user=" + u.Id + " org_id=" + org
	b.admin("POST", "/admin/users", `{"org_id":"`+org+`","email_address":"u@example.org"}`).is(403)
	said("who=admin_secret action=createUser object=user email=u@example.org outcome=conflict status=403")
	b.do("PUT", "/admin/organisations/"+org, `{"owner_name":"x"}`, header("Admin-Auth", "the-second-admin-secret")).is(200)
	said("who=second_admin_secret action=updateOrg object=organisation object_id=" + org + " outcome=ok status=200")
	b.do("DELETE", "/admin/organisations/"+org, nil, header("Admin-Auth", "guessed-secret")).is(401)
	said("who=nobody action=deleteOrg object=organisation object_id=" + org + " outcome=unauthorised status=401")
	b.admin("POST", "/admin/organisations", `{`).is(403)
	said("who=admin_secret action=createOrg object=organisation outcome=malformed status=403")

	t.Run("escaped", func(t *testing.T) {
		escaped := fmt.Sprintf("%%%x%s", u.Id[0], u.Id[1:])
		b.do("PUT", "/api/users/"+escaped+"/actions/key/reset", nil, asUser(u.AccessKey)).is(200)
		said(user + " action=resetUserKey object=user object_id=" + u.Id + " outcome=ok status=200")
		u = b.admin("GET", "/admin/users/"+u.Id, nil).is(200).user()
		reader := b.user(org, "self@example.org", map[string]string{"apis": "read"})
		self := fmt.Sprintf("%%%x%s", reader.Id[0], reader.Id[1:])
		b.do("GET", "/api/users/"+self, nil, asUser(reader.AccessKey)).is(200)
	})
	t.Run("users", func(t *testing.T) {
		b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"supersekret"}`, asUser(u.AccessKey)).is(200)
		said(user + " action=setUserPassword object=user object_id=" + u.Id + " outcome=ok status=200")
		reader := b.user(org, "reader@example.org", map[string]string{"users": "read"})
		b.do("DELETE", "/api/users/"+u.Id, nil, asUser(reader.AccessKey)).is(403)
		said("who=user user=" + reader.Id + " org_id=" + org + " action=deleteUser object=user object_id=" + u.Id + " outcome=access_denied status=403")
	})
	t.Run("imports", func(t *testing.T) {
		b.importAPIs(apiOf(org, "harbour"), apiOf("588b4f0bb275ff0001cc7471", "lost")).is(200)
		said("who=admin_secret action=importAPIs object=api outcome=refused status=200 imported=1 refused=1 ids=harbour")
		var many []string
		for i := range 30 {
			many = append(many, apiOf(org, fmt.Sprintf("api-%d", i)))
		}
		b.importAPIs(many...).is(200)
		require.Contains(t, b.audit.last(), "imported=30 refused=0 ids=api-0 ")
		require.Contains(t, b.audit.last(), "api-19")
		require.NotContains(t, b.audit.last(), "api-20")
	})
	t.Run("sign-on", func(t *testing.T) {
		nonce := b.admin("POST", "/admin/sso", `{"forsection":"dashboard","orgid":"`+org+`","emailaddress":"u@example.org"}`).is(200).meta()
		signOn := " object=sign_on object_id=" + org + " email=u@example.org outcome=ok status=200"
		said("who=admin_secret action=generateAuthToken" + signOn)
		for _, path := range []string{"/tap?nonce=" + nonce, "/admin/system/reload"} {
			b.do("HEAD", path, nil, header("Admin-Auth", secret)).is(200)
			said("who=admin_secret action=generateAuthToken" + signOn)
		}
		b.do("GET", "/tap?nonce="+nonce, nil).is(200)
		said("who=nobody action=redeemDashboardNonce" + signOn)
		require.NotContains(t, b.audit.String(), nonce)
	})
	t.Run("gateways", func(t *testing.T) {
		b.do("GET", "/register/node", nil, asUser(nodeSecret), header("x-tyk-session-id", "s")).is(200)
		require.Regexp(t, `^who=node_secret action=registerNode object=node object_id=[0-9a-f-]+ outcome=ok status=200$`, b.audit.last())
		b.do("DELETE", "/system/node", nil, asUser(nodeSecret), header("x-tyk-nodeid", "gone")).is(200)
		said("who=node_secret node=gone action=removeNode object=node outcome=ok status=200")
	})
	t.Run("values of clients are bounded", func(t *testing.T) {
		b.admin("DELETE", "/admin/users/"+strings.Repeat("a", 5000), nil, header("User-Agent", strings.Repeat("b", 5000))).is(404)
		require.Less(t, len(fmt.Sprint(b.audit.lines[len(b.audit.lines)-1])), 800)
	})
	t.Run("no line has a secret", func(t *testing.T) {
		for _, hidden := range []string{secret, nodeSecret, "guessed-secret", "the-second-admin-secret", u.AccessKey, "supersekret"} {
			require.NotContains(t, b.audit.String(), hidden)
		}
	})
}

// TestAuditLogOfKeys checks that keys, which are in paths and in responses, are not in the audit log.
func TestAuditLogOfKeys(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{})
	org := e.org()
	u := e.user(org, "u@example.org", nil)
	e.importAPIs(apiOf(org, "harbour")).is(200)
	e.gateway.WaitForAPI(t, "harbour", soon)
	session := `{"access_rights":{"harbour":{"api_id":"harbour","versions":["Default"]}}}`
	var made struct {
		KeyID string `json:"key_id"`
	}
	e.do("POST", "/api/keys", session, asUser(u.AccessKey)).is(200).json(&made)
	created := e.audit.last()
	require.Regexp(t, `action=addKey object=key object_id=sha256:[0-9a-f]{16} outcome=ok status=200$`, created)
	_, fingerprint, _ := strings.Cut(created, "object_id=")
	fingerprint, _, _ = strings.Cut(fingerprint, " ")
	e.do("DELETE", "/api/keys/"+made.KeyID, nil, asUser(u.AccessKey)).is(200)
	require.Contains(t, e.audit.last(), "action=deleteKey object=key object_id="+fingerprint+" outcome=ok", "lines of one key can be found")
	require.NotContains(t, e.audit.String(), made.KeyID)
	e.admin("POST", "/admin/org/keys", `{"org_id":"`+org+`"}`).is(200)
	require.Contains(t, e.audit.last(), "action=createOrgKey object=organisation_key object_id="+org+" outcome=ok")
}

// failingHandler is the handler of a log that cannot be written.
type failingHandler struct{ auditRecords }

func (*failingHandler) Handle(context.Context, slog.Record) error {
	return errors.New("no space left on device")
}

func TestAuditLogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) {
		cfg.Audit.Log = slog.New(teeHandler{cfg.Audit.Log.Handler(), &failingHandler{}})
	})
	org := b.org()
	require.Contains(t, b.log.String(), "write audit log failed, the line follows")
	require.Contains(t, b.log.String(), "action=createOrg object=organisation object_id="+org)
}

// teeHandler writes to the first handler, and returns the error of the second.
type teeHandler struct {
	slog.Handler
	second slog.Handler
}

func (h teeHandler) Handle(ctx context.Context, record slog.Record) error {
	return errors.Join(h.Handler.Handle(ctx, record), h.second.Handle(ctx, record))
}

func TestWithoutAuditLog(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.Audit = server.Audit{} })
	b.audit.off = true
	b.org()
	require.Empty(t, b.audit.last())
}

// TestAuditKnowsTheContract fails for an operation that changes something with GET and is not listed, and for a
// parameter of a path that may be a secret.
func TestAuditKnowsTheContract(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(op.path, -1) {
			require.Contains(t, []string{
				"orgID", "userId", "groupId", "apiId", "policyId", "clientId", "certId", "keyId", "username", "nodeId", "hostname",
				"assetID", "hookId", "pageId", "documentationId", "developerId", "requestId", "email", "ssoKey", "auditLogId",
			}, m[1], "add it to objectsInPaths if it is no secret")
		}
	}
	files, err := fs.Glob(scenarios.Files, "*.yaml")
	require.NoError(t, err)
	for _, name := range files {
		text, err := fs.ReadFile(scenarios.Files, name)
		require.NoError(t, err)
		operation := ""
		for line := range strings.Lines(string(text)) {
			if m := regexp.MustCompile(`^(\w+):`).FindStringSubmatch(line); m != nil {
				operation = m[1]
			}
			if strings.TrimSpace(line) == "writes: true" {
				require.Contains(t, auditedGETs, operation)
			}
		}
	}
}

// TestRefusedRequestsAreSummedUp has clients without a valid credential send many requests: a few are listed in the
// logs, and the others are summed up by address. Requests of others are listed, and so is what such a client has
// changed.
func TestRefusedRequestsAreSummedUp(t *testing.T) {
	t.Parallel()
	var b *bundle
	var listed, changed []reply
	t.Run("requests", func(t *testing.T) { // what is left is summed up when the server ends, with this test
		b = setup(t, func(cfg *server.Config) {
			cfg.Limits.UnauthenticatedLines, cfg.Now = 10, newFrozenClock().now
			cfg.TrustedProxies = remoteaddr.Proxies{netip.MustParsePrefix("127.0.0.1/32")}
		})
		b.audit.off = true // check expects a line of each request
		org := b.org()
		user := b.user(org, "a@example.org", nil)
		for i := range 100 {
			b.do("DELETE", "/admin/organisations/"+org, nil, from("192.0.2.1")).is(401)
			b.do("DELETE", "/admin/organisations/"+org, nil, header("Admin-Auth", strconv.Itoa(i)), from("192.0.2.2"))
			b.do("GET", "/hello", nil, from("192.0.2.3")).is(200)
			b.do("GET", "/nothing", nil, from("192.0.2.4")).is(404)
		}
		b.do("GET", "/hello", nil, from("2001:db8::1")).is(200)
		changed = append(changed, b.do("GET", "/tap?nonce="+nonceFor(b, org), nil, from("192.0.2.1")).is(200))
		for range 100 { // with a valid credential, from the same addresses
			listed = append(listed, b.admin("GET", "/metrics", nil, from("192.0.2.1")).is(200))
			listed = append(listed, b.do("GET", "/api/users", nil, asUser(user.AccessKey), from("192.0.2.4")).is(200))
			changed = append(changed, b.admin("PUT", "/admin/users/"+user.Id, nil, from("192.0.2.1")))
			changed = append(changed, b.node("GET", "/register/node", nil, from("192.0.2.3")))
		}
	})
	log, audit := b.log.String(), b.audit.String()
	for address, n := range map[string]int{"192.0.2.1": 10 + 100 + 100, "192.0.2.2": 10, "192.0.2.3": 10 + 100, "192.0.2.4": 10 + 100, "2001:db8::1": 1} {
		require.Equal(t, n, strings.Count(log, " from="+address+"\n"), address)
	}
	for _, each := range listed {
		require.Contains(t, log, each.header.Get("X-Request-Id"))
	}
	for _, each := range changed {
		require.Len(t, b.audit.of(each.header.Get("X-Request-Id")), 1, each.what)
	}
	const summary = `level=WARN msg="requests not listed, a client has sent too many without a valid credential" `
	require.Equal(t, 4, strings.Count(log, summary), log)
	for address, n := range map[string]int{"192.0.2.1/32": 91, "192.0.2.2/32": 90, "192.0.2.3/32": 90, "192.0.2.4/32": 90} {
		require.Regexp(t, regexp.QuoteMeta(summary)+"from="+address+" since=\\S+ count="+strconv.Itoa(n)+"\n", log)
	}
	require.Equal(t, 2, strings.Count(audit, "outcome:not_listed"))
	require.Regexp(t, `count:90 ip:192.0.2.1/32 outcome:not_listed since:\S+.* who:nobody`, audit)
	require.Regexp(t, `count:90 ip:192.0.2.2/32 outcome:not_listed since:\S+.* who:nobody`, audit)
	require.Equal(t, 20, strings.Count(audit, "outcome:unauthorised"))
}
