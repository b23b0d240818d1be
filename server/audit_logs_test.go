package server_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// auditLogs returns a page of the audit log as a user gets it.
func (b *bundle) auditLogs(user admin.User, query url.Values) dashboard.AuditLogs {
	b.t.Helper()
	var page dashboard.AuditLogs
	b.do("GET", "/api/audit-logs?"+query.Encode(), nil, asUser(user.AccessKey)).is(200).json(&page)
	return page
}

// auditActions returns who has done what, newest first, of a page of the audit log.
func (b *bundle) auditActions(user admin.User, query ...string) (actions []string) {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	for _, event := range b.auditLogs(user, values).AuditLogs {
		actions = append(actions, fmt.Sprintf("%s %s %d", event.User, event.Action, event.Status))
	}
	return actions
}

// TestAuditLogs: users of an organisation read what its users have done, and super users what everybody has. Requests
// without a valid credential are nowhere.
func TestAuditLogs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org()
	ines := b.user(org, "ines@example.org", nil)
	odo := b.user(other, "odo@example.org", map[string]string{"audit_logs": "read", "users": "read"})
	super := b.user("", "super@example.org", nil)
	b.do("DELETE", "/api/users/"+odo.Id, nil, asUser(ines.AccessKey)).is(404)
	b.do("PUT", "/api/users/"+odo.Id+"/actions/key/reset", nil, asUser(odo.AccessKey)).is(200)
	odo = b.admin("GET", "/admin/users/"+odo.Id, nil).is(200).user()
	b.do("DELETE", "/api/users/"+ines.Id, nil, asUser(odo.AccessKey)).is(403)
	group := b.do("POST", "/api/usergroups", `{"name":"g","user_permissions":{"apis":"read"}}`, asUser(ines.AccessKey)).is(200).meta()
	b.do("DELETE", "/api/usergroups/"+group, nil, asUser("guessed")).is(401)
	b.do("DELETE", "/admin/organisations/"+org, nil).is(401)
	b.do("GET", "/api/users", nil, asUser(ines.AccessKey)).is(200)
	registered := b.node("GET", "/register/node", nil).is(200)

	require.Equal(t, []string{"ines@example.org createUserGroup 200", "ines@example.org deleteUser 404"}, b.auditActions(ines))
	require.Equal(t, []string{"odo@example.org deleteUser 403", "odo@example.org resetUserKey 200"}, b.auditActions(odo))
	require.Equal(t, []string{
		"node_secret registerNode 200", "ines@example.org createUserGroup 200", "odo@example.org deleteUser 403",
		"odo@example.org resetUserKey 200", "ines@example.org deleteUser 404",
	}, b.auditActions(super)[:5])
	require.Equal(t, []string{"admin_secret createOrg 200", "admin_secret createOrg 200"}, b.auditActions(super, "user", "Admin_Secret", "action", "createOrg"))
	require.Equal(t, []string{"ines@example.org createUserGroup 200"}, b.auditActions(super, "user", "ines@Example.org", "object_id", group))
	require.Equal(t, []string{"odo@example.org deleteUser 403"}, b.auditActions(super, "outcome", "access_denied"))
	require.Empty(t, b.auditActions(ines, "user", "odo@example.org"))
	require.Equal(t, b.auditActions(odo), b.auditActions(super, "org_id", other))
	require.Equal(t, b.auditActions(ines), b.auditActions(ines, "org_id", other), "it widens nothing")
	require.Zero(t, storetest.Value[int](t, b.conn, `SELECT count(*) FROM audit_events WHERE who = 'nobody' OR status = 401`))

	gateway := b.auditLogs(super, url.Values{"action": {"registerNode"}}).AuditLogs[0]
	require.Equal(t, registered.header.Get("X-Request-Id"), gateway.ReqId)
	event := b.auditLogs(ines, url.Values{"p": {"1"}}).AuditLogs[0]
	require.Equal(t, []string{"POST", "/api/usergroups", "user", ines.Id, "user_group", group, "ok", org, "127.0.0.1"}, []string{
		event.Method, event.Url, event.Who, event.UserId, event.Object, event.ObjectId, event.Outcome, event.OrgId, event.Ip,
	})
	var read dashboard.AuditLog
	b.do("GET", "/api/audit-logs/"+event.UnderscoreId, nil, asUser(ines.AccessKey)).is(200).json(&read)
	require.Equal(t, event, read)
	b.do("GET", "/api/audit-logs/"+event.UnderscoreId, nil, asUser(super.AccessKey)).is(200)
	b.do("GET", "/api/audit-logs/"+event.UnderscoreId, nil, asUser(odo.AccessKey)).is(404)
	b.do("GET", "/api/audit-logs/99999999999999999999", nil, asUser(super.AccessKey)).is(404)
	require.InDelta(t, storetest.Value[int](t, b.conn, `SELECT count(*) FROM audit_events`), b.metric(`gatehouse_audit_events_total{result="stored"}`), 0)
}

// TestAuditLogsByDay: the first and the last day belong to the period.
func TestAuditLogsByDay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	super := b.user("", "super@example.org", nil)
	b.auditActions(super) // all is stored
	storetest.Exec(t, b.conn, `DELETE FROM audit_events; INSERT INTO audit_events (at, req_id, ip, who, actor, user_id, org_id, action, object,
		object_id, outcome, status, method, url, details)
		SELECT at::timestamptz, '', '', 'user', 'u', '', '', at, '', '', 'ok', 200, 'PUT', '', '{}'
		FROM unnest(ARRAY['2026-11-24 23:59:59Z', '2026-11-25 00:00:00Z', '2026-11-26 23:59:59Z', '2026-11-27 00:00:00Z']) AS at`)
	for query, want := range map[string]int{
		"from_date=2026-11-25": 3, "to_date=2026-11-26": 3, "from_date=2026-11-25&to_date=2026-11-26": 2,
		"from_date=2026-11-25&to_date=2026-11-25": 1, "from_date=2026-11-28": 0, "": 4,
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		require.Len(t, b.auditLogs(super, values).AuditLogs, want, query)
	}
	refused := b.do("GET", "/api/audit-logs?to_date=2026-11-31&download=true", nil, asUser(super.AccessKey)).is(400)
	require.Contains(t, refused.body, "/to_date")
	require.Empty(t, refused.header.Get("Content-Disposition"))
}

// TestAuditLogsAsFile: a file has all events, whatever the page is, and no cell that is a formula.
func TestAuditLogsAsFile(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.PageSize = 2 })
	org := b.org()
	ines := b.user(org, "ines@example.org", nil)
	for _, id := range []string{"a,b", `=HYPERLINK("http:x")`, "+1", "-1", "@x"} {
		b.do("DELETE", "/api/apis/"+url.PathEscape(id), nil, asUser(ines.AccessKey)).is(404)
	}
	require.Equal(t, 3, b.auditLogs(ines, url.Values{"p": {"2"}}).Pages)
	file := b.do("GET", "/api/audit-logs?download=true&p=2", nil, asUser(ines.AccessKey)).is(200)
	require.Equal(t, []string{"application/octet-stream", `attachment; filename="audit-logs.json"`},
		[]string{file.header.Get("Content-Type"), file.header.Get("Content-Disposition")})
	var events []dashboard.AuditLog
	file.json(&events)
	require.Len(t, events, 5)
	require.Equal(t, `=HYPERLINK("http:x")`, events[3].ObjectId)

	file = b.do("GET", "/api/audit-logs?download=true&type=csv", nil, asUser(ines.AccessKey)).is(200)
	require.Equal(t, []string{"application/octet-stream", `attachment; filename="audit-logs.csv"`},
		[]string{file.header.Get("Content-Type"), file.header.Get("Content-Disposition")})
	rows, err := csv.NewReader(strings.NewReader(file.body)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 6)
	for i, event := range events {
		encoded, err := json.Marshal(event)
		require.NoError(t, err)
		var members map[string]any
		require.NoError(t, json.Unmarshal(encoded, &members))
		for column, name := range rows[0] {
			want := fmt.Sprint(members[name])
			switch name {
			case "details":
				require.JSONEq(t, string(event.Details), rows[i+1][column])
				continue
			case "object_id":
				want = map[bool]string{true: "'"}[strings.ContainsAny(want[:1], "=+-@")] + want
			case "timestamp":
				want = strconv.Itoa(event.Timestamp)
			}
			require.Equal(t, want, rows[i+1][column], name)
		}
	}
	empty := b.do("GET", "/api/audit-logs?download=true&type=csv&action=none", nil, asUser(ines.AccessKey)).is(200)
	require.Equal(t, strings.Join(rows[0], ",")+"\n", empty.body)
	head := b.do("HEAD", "/api/audit-logs?download=true&type=csv", nil, asUser(ines.AccessKey)).is(200)
	require.Equal(t, file.header.Get("Content-Disposition"), head.header.Get("Content-Disposition"))

	storetest.Exec(t, b.conn, `ALTER TABLE audit_events RENAME TO gone`)
	failed := b.do("GET", "/api/audit-logs?download=true&type=csv", nil, asUser(ines.AccessKey)).message(500, "could not retrieve audit records")
	require.Empty(t, failed.header.Get("Content-Disposition"))
	require.Equal(t, "application/json", failed.header.Get("Content-Type"))
}

// TestAuditLogsHaveNoSecrets: a key in a path is a fingerprint, and what Postgres does not store costs no other event.
func TestAuditLogsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ines := b.user(b.org(), "ines@example.org", nil)
	const key = "eyJvcmciOiI1M2FjMDc3NzdjYmI4YzJkNTMwMDAwMDIiLCJpZCI6IjdmOWUifQ=="
	b.do("DELETE", "/api/keys/"+url.PathEscape(key), nil, asUser(ines.AccessKey))
	b.do("DELETE", "/api/apis/a%00b", nil, asUser(ines.AccessKey)).is(404)
	b.do("DELETE", "/api/apis/%ff"+strings.Repeat("x", 4000), nil, asUser(ines.AccessKey)).is(404)
	events := b.auditLogs(ines, nil).AuditLogs
	require.Len(t, events, 3)
	require.Equal(t, "/api/apis/?"+strings.Repeat("x", 127), events[0].Url)
	require.Equal(t, "/api/apis/a?b", events[1].Url)
	require.Regexp(t, `^/api/keys/sha256:[0-9a-f]{16}$`, events[2].Url)
	require.Equal(t, strings.TrimPrefix(events[2].Url, "/api/keys/"), events[2].ObjectId)
	stored := storetest.Value[string](t, b.conn, `SELECT string_agg(e::text, ' ') FROM audit_events AS e`)
	for _, hidden := range []string{key, url.PathEscape(key), ines.AccessKey, secret} {
		require.NotContains(t, stored, hidden)
	}
}

// TestAuditLogsAreOptional: without a retention, and without an audit log, nothing is stored.
func TestAuditLogsAreOptional(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*server.Config){
		"no retention": func(cfg *server.Config) { cfg.Audit.Retention = 0 },
		"no audit log": func(cfg *server.Config) { cfg.Audit.Log = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, change)
			b.audit.off = true
			super := b.user("", "super@example.org", nil)
			require.Empty(t, b.auditActions(super))
			b.server.FlushAudit(t.Context())
			require.Zero(t, storetest.Value[int](t, b.conn, `SELECT count(*) FROM audit_events`))
		})
	}
}

// TestAuditLogsOfSessions: an organisation sees what an operator has done as its administrator, and who has signed in.
func TestAuditLogsOfSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	_, key, _ := b.signedIn(org, "ines@example.org", nil)
	operator := b.operator()
	b.do("DELETE", "/api/users/nobody", nil, operator, header("X-Organisation", org)).is(404)
	b.do("DELETE", "/api/users/somebody", nil, operator).is(404)
	b.do("DELETE", "/admin/users/anybody", nil, operator).is(404)
	require.Equal(t, []string{"operator deleteUser 404", "ines@example.org createSession 200"}, b.auditActions(admin.User{AccessKey: key}))
	var page dashboard.AuditLogs
	b.do("GET", "/api/audit-logs?user=operator", nil, operator).is(200).json(&page)
	var paths []string
	for _, event := range page.AuditLogs {
		paths = append(paths, event.Url)
	}
	require.Equal(t, []string{"/admin/users/anybody", "/api/users/somebody", "/api/users/nobody", "/admin/session"}, paths)
	b.do("GET", "/api/audit-logs?user=operator", nil, operator, header("X-Organisation", org)).is(200).json(&page)
	require.Len(t, page.AuditLogs, 1)
}
