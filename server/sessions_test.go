package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/remoteaddr"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

const rightPassword = "correct-horse"

// shownSession is a session as the API shows it.
type shownSession struct {
	Kind, Name  string
	UserID      string `json:"user_id"`
	Email       string `json:"email_address"`
	OrgID       string `json:"org_id"`
	OrgName     string `json:"org_name"`
	IsAdmin     bool   `json:"is_admin"`
	Permissions map[string]string
	ExpiresAt   time.Time `json:"expires_at"`
}

// signIn opens a session and returns what sends its cookie.
func (b *bundle) signIn(credential any, change ...with) with {
	b.t.Helper()
	return cookieOf(b.do("POST", "/api/session", credential, change...).is(200))
}

// operator opens the session of an operator, and returns what sends its cookie.
func (b *bundle) operator(change ...with) with {
	b.t.Helper()
	return cookieOf(b.admin("POST", "/admin/session", nil, change...).is(200))
}

// cookieOf returns what sends the cookie that a response sets.
func cookieOf(r reply) with {
	r.t.Helper()
	value, _, _ := strings.Cut(r.header.Get("Set-Cookie"), ";")
	require.Regexp(r.t, `^gatehouse_session=[\w-]{43}$`, value)
	return header("Cookie", value)
}

// session returns the session of a request.
func (b *bundle) session(cookie with, change ...with) (s shownSession) {
	b.t.Helper()
	b.do("GET", "/api/session", nil, append(change, cookie)...).is(200).json(&s)
	return s
}

// signedIn is a user with a password, and the session of the user.
func (b *bundle) signedIn(org, email string, permissions map[string]string) (id, key string, cookie with) {
	b.t.Helper()
	user := b.user(org, email, permissions)
	b.admin("PUT", "/admin/users/"+user.Id, map[string]any{
		"first_name": "A", "last_name": "B", "email_address": email, "active": true, "password": rightPassword,
	}).is(200)
	return user.Id, user.AccessKey, b.signIn(credentials(email))
}

func credentials(email string) map[string]string {
	return map[string]string{"email_address": email, "password": rightPassword}
}

func TestSessionOfAUser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	id, key, cookie := b.signedIn(org, "reader@example.org", map[string]string{"apis": "read"})
	got := b.session(cookie)
	require.WithinDuration(t, b.clock.now().Add(12*time.Hour), got.ExpiresAt, time.Minute)
	got.ExpiresAt = time.Time{}
	require.Equal(t, shownSession{
		Kind: "user", UserID: id, Name: "A B", Email: "reader@example.org", OrgID: org, OrgName: "Rivermouth",
		Permissions: map[string]string{"apis": "read"},
	}, got)
	b.do("GET", "/api/apis", nil, cookie).is(200)
	b.do("POST", "/api/apis", `{}`, cookie).is(403)
	b.do("GET", "/api/users", nil, cookie).is(403)
	b.do("GET", "/admin/organisations", nil, cookie).message(401, "Not authorised")
	require.NotContains(t, storetest.Dump(t, b.conn), strings.TrimPrefix(tokenOf(cookie), "gatehouse_session="))
	require.NotContains(t, b.log.String(), strings.TrimPrefix(tokenOf(cookie), "gatehouse_session="))
	require.NotContains(t, b.log.String(), rightPassword)
	var shown struct {
		LastLoginDate time.Time `json:"last_login_date"`
	}
	b.admin("GET", "/admin/users/"+id, nil).is(200).json(&shown)
	require.WithinDuration(t, b.clock.now(), shown.LastLoginDate, time.Minute)

	require.Equal(t, "user", b.session(asUser(key)).Kind, "an access key has a caller, too")
	t.Run("a header wins over the cookie", func(t *testing.T) {
		b.do("GET", "/api/session", nil, cookie, asUser("wrong")).is(401)
	})
}

// tokenOf returns the value of the header Cookie that change sets.
func tokenOf(change with) string {
	r := &http.Request{Header: http.Header{}}
	change(r)
	return r.Header.Get("Cookie")
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(b *bundle, id, key string, cookie with){
		"by signing out": func(b *bundle, _, _ string, cookie with) {
			require.Contains(b.t, b.do("DELETE", "/api/session", nil, cookie).is(200).header.Get("Set-Cookie"), "Max-Age=0")
		},
		"by signing out everywhere": func(b *bundle, _, key string, _ with) {
			b.do("DELETE", "/api/session", nil, asUser(key)).is(200)
		},
		"after 12 hours": func(b *bundle, _, _ string, _ with) { b.clock.forward(12*time.Hour + time.Second) },
		"with the user":  func(b *bundle, id, _ string, _ with) { b.admin("DELETE", "/admin/users/"+id, nil).is(200) },
		"with the old key": func(b *bundle, id, key string, _ with) {
			b.do("PUT", "/api/users/"+id+"/actions/key/reset", nil, asUser(key)).is(200)
		},
		"with another password": func(b *bundle, id, key string, _ with) {
			b.do("POST", "/api/users/"+id+"/actions/reset",
				map[string]string{"new_password": "battery-staple", "current_password": rightPassword}, asUser(key)).is(200)
		},
		"when the user is not active, for ever": func(b *bundle, id, _ string, _ with) {
			for _, active := range []bool{false, true} {
				b.admin("PUT", "/admin/users/"+id, map[string]any{
					"first_name": "A", "last_name": "B", "email_address": "ines@example.org", "active": active,
				}).is(200)
			}
		},
		"when the user is revoked": func(b *bundle, id, _ string, _ with) {
			b.do("PUT", "/api/users/"+id+"/actions/revoke", nil, b.operator()).is(200)
		},
		"when another one replaces it": func(b *bundle, _, _ string, cookie with) { b.signIn(credentials("ines@example.org"), cookie) },
		"when there are 20 later ones": func(b *bundle, _, _ string, _ with) {
			for range 20 {
				b.clock.forward(time.Second)
				b.signIn(credentials("ines@example.org"))
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			org := b.org()
			b.user(org, "other@example.org", nil) // there has to be another administrator
			id, key, cookie := b.signedIn(org, "ines@example.org", nil)
			b.do("GET", "/api/session", nil, cookie).is(200)
			end(b, id, key, cookie)
			b.do("GET", "/api/session", nil, cookie).message(401, "Not authorised")
		})
	}
	t.Run("a change of the permissions does not end it", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id, _, cookie := b.signedIn(b.org(), "ines@example.org", map[string]string{"apis": "read"})
		b.admin("PUT", "/admin/users/"+id, map[string]any{
			"first_name": "A", "last_name": "B", "email_address": "ines@example.org", "active": true,
			"user_permissions": map[string]string{"users": "read"},
		}).is(200)
		b.do("GET", "/api/apis", nil, cookie).is(403)
		b.do("GET", "/api/users", nil, cookie).is(200)
	})
	t.Run("expired ones are deleted", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.signedIn(b.org(), "ines@example.org", nil)
		b.clock.forward(13 * time.Hour)
		require.NoError(t, b.store.DeleteExpiredSessions(t.Context()))
		require.Zero(t, storetest.Value[int](t, b.conn, `SELECT count(*) FROM sessions`))
	})
}

func TestSessionOfAnOperator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org, other := b.org(), b.org(`{"owner_name":"Estuary"}`)
	cookie := b.operator()
	got := b.session(cookie)
	require.Equal(t, []any{"operator", "", "", true}, []any{got.Kind, got.UserID, got.OrgID, got.IsAdmin})
	b.do("GET", "/admin/organisations", nil, cookie).is(200)
	b.do("GET", "/admin/hello", nil, cookie).is(200)

	within := header("X-Organisation", org)
	require.Equal(t, "Rivermouth", b.session(cookie, within).OrgName)
	api := `{"api_definition":{"name":"Tides","proxy":{"listen_path":"/tides/","target_url":"http://upstream.example"}}}`
	created := b.do("POST", "/api/apis", api, cookie, within).is(200)
	require.Contains(t, b.do("GET", "/api/apis", nil, cookie, within).is(200).body, "Tides")
	require.NotContains(t, b.do("GET", "/api/apis", nil, cookie, header("X-Organisation", other)).is(200).body, "Tides")
	require.Contains(t, b.do("GET", "/api/apis", nil, cookie).is(200).body, "Tides", "a super user sees all")
	b.do("GET", "/api/apis", nil, cookie, header("X-Organisation", "54b53d3aeba6db5c35000002")).is(401)
	b.do("GET", "/api/apis", nil, cookie, header("X-Organisation", "a\xffb")).is(401)

	_, _, ofUser := b.signedIn(org, "ines@example.org", nil)
	require.NotContains(t, b.do("GET", "/api/apis", nil, ofUser, header("X-Organisation", other)).is(200).body, "Estuary")
	require.Equal(t, org, b.session(ofUser, header("X-Organisation", other)).OrgID, "a user has one organisation")

	line := b.audit.of(created.header.Get("X-Request-Id"))[0]
	require.Equal(t, []string{"operator", org}, []string{line["who"], line["org_id"]})
	t.Run("it ends with the secret", func(t *testing.T) {
		b.server.SetSecrets(server.Secrets{Admin: "a new secret", SecondAdmin: secret, Node: nodeSecret})
		b.do("GET", "/admin/hello", nil, cookie).is(200)
		b.server.SetSecrets(server.Secrets{Admin: "a new secret", Node: nodeSecret})
		b.do("GET", "/admin/hello", nil, cookie).is(401)
	})
}

func TestSessionOfANonce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org(`{"owner_name":"Rivermouth","sso_enabled":true}`)
	id, key, _ := b.signedIn(org, "ines@example.org", nil)
	group := b.group(key, `{"name":"readers","active":true,"user_permissions":{"apis":"read","IsAdmin":"admin"}}`)
	second := b.group(key, `{"name":"writers","active":true,"user_permissions":{"apis":"write","keys":"read"}}`)
	nonce := func(fields string, change ...with) string {
		path, credential := "/admin/sso", header("Admin-Auth", secret)
		if len(change) > 0 {
			path, credential = "/api/sso", change[0]
		}
		return b.do("POST", path, `{"ForSection":"dashboard","OrgID":"`+org+`"`+fields+`}`, credential).is(200).meta()
	}
	signOn := func(fields string, change ...with) shownSession {
		return b.session(b.signIn(map[string]string{"nonce": nonce(fields, change...)}))
	}
	t.Run("a registered user", func(t *testing.T) {
		got := signOn(`,"EmailAddress":"INES@example.org"`)
		require.Equal(t, []any{id, true}, []any{got.UserID, got.IsAdmin})
	})
	t.Run("somebody with a group", func(t *testing.T) {
		got := signOn(`,"EmailAddress":"odo@example.org","DisplayName":"Odo","GroupID":"` + group + `"`)
		require.Equal(t, map[string]string{"apis": "read"}, got.Permissions)
		require.Equal(t, []any{"", "Odo", "odo@example.org", org, false}, []any{got.UserID, got.Name, got.Email, got.OrgID, got.IsAdmin})
	})
	t.Run("somebody with several groups has all of their permissions", func(t *testing.T) {
		got := signOn(`,"GroupID":"` + group + `","GroupsIDs":["` + second + `"]`)
		require.Equal(t, map[string]string{"apis": "write", "keys": "read"}, got.Permissions)
	})
	t.Run("others who are not registered end no session", func(t *testing.T) {
		cookie := b.signIn(map[string]string{"nonce": nonce(`,"EmailAddress":"odo@example.org","GroupID":"` + group + `"`)})
		for n := range 20 {
			b.clock.forward(time.Second)
			b.signIn(map[string]string{"nonce": nonce(fmt.Sprintf(`,"EmailAddress":"%d@example.org","GroupID":"%s"`, n, group))})
		}
		b.do("GET", "/api/session", nil, cookie).is(200)
		for range 20 {
			b.clock.forward(time.Second)
			b.signIn(map[string]string{"nonce": nonce(`,"EmailAddress":"ODO@example.org","GroupID":"` + group + `"`)})
		}
		b.do("GET", "/api/session", nil, cookie).is(401)
	})
	t.Run("it works once", func(t *testing.T) {
		one := map[string]string{"nonce": nonce(`,"GroupID":"` + group + `"`)}
		b.signIn(one)
		b.do("POST", "/api/session", one).is(401)
	})
	t.Run("that of a user who may not grant everything has no more than they have", func(t *testing.T) {
		_, _, creator := b.signedIn(org, "creator@example.org", map[string]string{"system": "write", "apis": "read"})
		cookie := b.signIn(map[string]string{"nonce": nonce(`,"EmailAddress":"ines@example.org"`, creator)})
		got := b.session(cookie)
		require.Equal(t, map[string]string{"system": "write", "apis": "read"}, got.Permissions)
		require.Equal(t, []any{"", false}, []any{got.UserID, got.IsAdmin})
		require.NotContains(t, b.do("GET", "/api/users/me", nil, cookie).is(200).body, key)
		b.do("POST", "/api/sso", `{"ForSection":"dashboard","OrgID":"`+org+`"}`, cookie).is(403)
		events := b.do("GET", "/api/audit-logs?action=createSSONonce&outcome=access_denied", nil, asUser(key)).is(200)
		require.Contains(t, events.body, `"user":"unregistered"`, "it is no act of the user whose address the nonce has")
	})
	t.Run("that of a server of the last release, which does not say who has made it, opens none", func(t *testing.T) {
		value := nonce(`,"EmailAddress":"ines@example.org"`)
		storetest.Exec(t, b.conn, `UPDATE sso_nonces SET granted = DEFAULT`)
		b.do("POST", "/api/session", map[string]string{"nonce": value}).is(403)
	})
	t.Run("a browser is sent to the console", func(t *testing.T) {
		value := nonce(`,"GroupID":"` + group + `"`)
		for path, address := range map[string]string{"/tap": "console/", "/tap/": "../console/"} {
			got := b.do("GET", path+"?nonce="+value, nil, header("Accept", "text/html,application/xhtml+xml;q=0.9")).is(303)
			require.Equal(t, address+"#nonce="+value, got.header.Get("Location"))
		}
		b.signIn(map[string]string{"nonce": value})
	})
	t.Run("without the console, a browser gets the document", func(t *testing.T) {
		b := setup(t, func(cfg *server.Config) { cfg.Console = false })
		b.do("GET", "/tap?nonce=unknown", nil, header("Accept", "text/html")).is(401)
	})
	t.Run("the session ends with its group", func(t *testing.T) {
		cookie := b.signIn(map[string]string{"nonce": nonce(`,"GroupID":"` + group + `"`)})
		b.do("DELETE", "/api/usergroups/"+group, nil, asUser(key)).is(200)
		b.do("GET", "/api/session", nil, cookie).is(401)
	})
}

// TestSessionsRefuseOtherOrigins sends what a page of another origin has a browser send.
func TestSessionsRefuseOtherOrigins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _, cookie := b.signedIn(b.org(), "ines@example.org", nil)
	operator := b.operator()
	host := strings.TrimPrefix(b.url, "http://")
	for what, test := range map[string]struct {
		change with
		status int
	}{
		"another site":                {header("Sec-Fetch-Site", "cross-site"), 401},
		"another origin of this site": {header("Sec-Fetch-Site", "same-site"), 401},
		"an old browser, elsewhere":   {header("Origin", "https://evil.example"), 401},
		"an old browser, a sandbox":   {header("Origin", "null"), 401},
		"this origin":                 {header("Sec-Fetch-Site", "same-origin"), 200},
		"an old browser, here":        {header("Origin", "http://"+host), 200},
		"the address line":            {header("Sec-Fetch-Site", "none"), 200},
	} {
		t.Run(what, func(t *testing.T) {
			b.do("GET", "/api/session", nil, cookie, test.change).is(test.status)
			b.do("POST", "/api/users/search", `{}`, cookie, test.change).is(test.status)
			b.do("GET", "/admin/system/reload", nil, operator, test.change).is(test.status)
			if test.status != 200 {
				b.do("POST", "/api/session", credentials("ines@example.org"), test.change).is(403)
				b.do("DELETE", "/api/session", nil, cookie, test.change).is(401)
			}
		})
	}
}

// TestLinksChangeNothing follows a link: over plain HTTP, its request has the cookie and nothing that names its page.
func TestLinksChangeNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	operator := b.operator()
	link := header("Accept", "text/html,application/xhtml+xml;q=0.9")
	b.do("GET", "/admin/system/reload", nil, operator, link).is(401)
	b.do("GET", "/admin/system/reload", nil, operator).is(200)
	b.do("GET", "/admin/organisations", nil, operator, link).is(200) // which only reads
}

func TestSessionCookie(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) {
		cfg.BasePath, cfg.TrustedProxies = testBasePath, remoteaddr.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	})
	require.Regexp(t, `^gatehouse_session=[\w-]{43}; Path=/; Max-Age=43\d{3}; HttpOnly; SameSite=Lax$`,
		b.admin("POST", "/admin/session", nil).is(200).header.Get("Set-Cookie"))
	require.Regexp(t, `; Path=`+testBasePath+`; Max-Age=43\d{3}; HttpOnly; Secure; SameSite=Lax$`,
		b.admin("POST", testBasePath+"/admin/session", nil, header("X-Forwarded-Proto", "https")).is(200).header.Get("Set-Cookie"))
	t.Run("a session that a client brings along is not used again", func(t *testing.T) {
		brought := header("Cookie", "gatehouse_session="+strings.Repeat("a", 43))
		opened := b.operator(brought)
		require.NotEqual(t, tokenOf(brought), tokenOf(opened))
		b.do("GET", "/api/session", nil, brought).is(401)
	})
}

func TestSignInLimits(t *testing.T) {
	t.Parallel()
	const limit = 3
	t.Run("an address has so many guesses, at passwords of any user and at the secret", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(cfg *server.Config) { cfg.Limits.WrongCredentials = limit })
		b.signedIn(b.org(), "ines@example.org", nil)
		for _, guess := range []any{
			map[string]string{"email_address": "odo@example.org", "password": "a guess"},
			map[string]string{"email_address": "ines@example.org", "password": "a guess"},
			map[string]string{"email_address": "ines@example.org", "password": "another guess"},
		} {
			b.do("POST", "/api/session", guess).is(401)
		}
		b.do("POST", "/admin/session", nil, header("Admin-Auth", "a guess")).is(429)
		b.do("POST", "/api/session", map[string]string{"email_address": "odo@example.org", "password": "other"}).is(429)
	})
	t.Run("a user has so many", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(cfg *server.Config) { cfg.Limits.WrongPasswords = limit })
		b.signedIn(b.org(), "ines@example.org", nil)
		for _, guess := range []string{"a", "b", "c"} {
			b.do("POST", "/api/session", map[string]string{"email_address": "ines@example.org", "password": guess}).is(401)
		}
		b.do("POST", "/api/session", credentials("ines@example.org")).is(429)
		b.clock.forward(time.Minute)
		b.do("POST", "/api/session", credentials("ines@example.org")).is(200)
	})
	t.Run("an address that nobody has is limited like a user's", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(cfg *server.Config) { cfg.Limits.WrongPasswords = limit })
		org := b.org()
		b.signedIn(org, "ines@example.org", nil)
		organisations := []string{"", org, "no organisation"}
		for _, address := range []string{"ines@example.org", "odo@example.org"} {
			guess := func(password, orgID string) reply {
				return b.do("POST", "/api/session", map[string]string{
					"email_address": address, "password": password, "org_id": orgID,
				})
			}
			for i, orgID := range organisations {
				guess(fmt.Sprint("guess ", i), orgID).is(401)
			}
			for _, orgID := range organisations {
				guess("another guess", orgID).is(429)
			}
		}
	})
	t.Run("a token is guessed as little as a key", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(cfg *server.Config) { cfg.Limits.WrongCredentials = limit })
		for _, guess := range []string{"a", "b", "c"} {
			b.do("GET", "/api/session", nil, header("Cookie", "gatehouse_session="+guess)).is(401)
		}
		b.do("GET", "/api/session", nil, header("Cookie", "gatehouse_session=d")).is(429)
	})
}

// TestSignInAmongOrganisations: one address and one password in two organisations.
func TestSignInAmongOrganisations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.org(), b.org(`{"owner_name":"Estuary"}`)
	b.signedIn(first, "ines@example.org", nil)
	user := b.user(second, "ines@example.org", nil)
	b.admin("PUT", "/admin/users/"+user.Id, map[string]any{
		"first_name": "A", "last_name": "B", "email_address": "ines@example.org", "active": true, "password": rightPassword,
	}).is(200)
	var choice struct {
		Organisations []map[string]string
	}
	b.do("POST", "/api/session", credentials("Ines@example.org")).is(409).json(&choice)
	require.ElementsMatch(t, []map[string]string{
		{"org_id": first, "org_name": "Rivermouth"}, {"org_id": second, "org_name": "Estuary"},
	}, choice.Organisations)
	for _, org := range []string{first, second} {
		sent := credentials("ines@example.org")
		sent["org_id"] = org
		require.Equal(t, org, b.session(b.signIn(sent)).OrgID)
	}
	wrong, err := json.Marshal(map[string]string{"email_address": "ines@example.org", "password": "wrong"})
	require.NoError(t, err)
	require.Equal(t, b.do("POST", "/api/session", string(wrong)).is(401).body,
		b.do("POST", "/api/session", strings.Replace(string(wrong), "ines", "nobody", 1)).is(401).body,
		"an unknown address is no different from a wrong password")
}
