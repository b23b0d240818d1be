package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/password"
	"gatehouse/server"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

const deniedReset = "access denied: You do not have permission to access  /api/users"

func TestAdministratorsMayBeRestricted(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	open := setupOn(t, conn)
	strict := setupOn(t, conn, func(cfg *server.Config) {
		cfg.Security = server.Security{AdminsResetPasswords: true, HideAccessKeys: true, OwnKeysOnly: true}
	})
	org := open.org()
	admin := open.user(org, "admin@example.org", map[string]string{"IsAdmin": "admin"})
	member := open.user(org, "member@example.org", map[string]string{"users": "write"})
	super := open.admin("POST", "/admin/users", `{"email_address":"super@example.org","active":true}`).user()

	t.Run("forbid_admin_view_access_token", func(t *testing.T) {
		for _, caller := range []string{admin.AccessKey, super.AccessKey} {
			require.Contains(t, open.do("GET", "/api/users", nil, asUser(caller)).is(200).body, member.AccessKey)
			require.Contains(t, open.do("GET", "/api/users/"+member.Id, nil, asUser(caller)).is(200).body, member.AccessKey)
			list := strict.do("GET", "/api/users?p=-1", nil, asUser(caller)).is(200).body
			require.NotContains(t, list, member.AccessKey)
			require.Contains(t, list, caller, "one's own is shown")
			require.Contains(t, list, `"access_key":""`)
			require.NotContains(t, strict.do("GET", "/api/users/"+member.Id, nil, asUser(caller)).is(200).body, member.AccessKey)
		}
		require.Equal(t, member.AccessKey, strict.admin("GET", "/admin/users/"+member.Id, nil).is(200).user().AccessKey, "the admin API shows it")
	})
	t.Run("allow_admin_reset_password", func(t *testing.T) {
		reset := func(b *bundle, caller string) reply {
			return b.do("POST", "/api/users/"+member.Id+"/actions/reset", `{"new_password":"topsecret"}`, asUser(caller))
		}
		reset(open, admin.AccessKey).is(403)
		reset(strict, admin.AccessKey).message(200, "User password updated")
		reset(strict, super.AccessKey).is(403)
		stranger := open.user(open.org(), "stranger@example.org", map[string]string{"IsAdmin": "admin"})
		reset(strict, stranger.AccessKey).is(404)
		reset(strict, member.AccessKey).is(403)
	})
	t.Run("forbid_admin_reset_access_token", func(t *testing.T) {
		renew := func(b *bundle, caller, of string) reply {
			return b.do("PUT", "/api/users/"+of+"/actions/key/reset", nil, asUser(caller))
		}
		for _, caller := range []string{admin.AccessKey, super.AccessKey} {
			got := renew(strict, caller, member.Id).is(403)
			require.Contains(t, got.envelope().Message, deniedReset)
			renew(strict, caller, "nope").is(403)
		}
		open.do("GET", "/api/users/"+member.Id, nil, asUser(member.AccessKey)).is(200)
		renew(strict, member.AccessKey, member.Id).is(200)
		renew(open, admin.AccessKey, member.Id).is(200)
	})
}

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) {
		cfg.Security.Passwords = password.Policy{
			MinLength: 10, MultiCase: true, MinNumeric: 2, MinSpecial: 1, DisableSequential: true,
		}
	})
	u := b.user(b.org(), "u@example.org", nil)
	reset := func(newPassword string) reply {
		return b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"`+newPassword+`"}`, asUser(u.AccessKey))
	}
	put := func(newPassword string) reply {
		return b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"u@example.org","active":true,"password":"`+newPassword+`"}`)
	}
	for newPassword, reasons := range map[string][]string{
		"Abd-15":        {"minimum string length is 10"},
		"supersekret":   {"must have upper and lower case letters", "must have digits, at least 2", "must have special characters, at least 1"},
		"Supersekret-1": {"must have digits, at least 2"},
		"Super abc 15!": {"must not have a sequence such as abc, 123 or xxx"},
		"Super--- 1579": {"must not have a sequence such as abc, 123 or xxx"},
	} {
		for pointer, set := range map[string]func(string) reply{"/new_password": reset, "/password": put} {
			got := set(newPassword).is(403)
			require.Contains(t, got.envelope().Message, "Request body malformed")
			for _, reason := range reasons {
				require.Contains(t, got.body, `{"path":"`+pointer+`","reason":"`+reason+`"}`)
			}
			require.NotContains(t, got.body, newPassword)
		}
	}
	require.Zero(t, b.admin("GET", "/admin/users/"+u.Id, nil).user().PasswordUpdated.Year()-1)
	put("Harbour-1907!").is(200)
	b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"Lantern-1908!","current_password":"Harbour-1907!"}`, asUser(u.AccessKey)).is(200)
}

// setupHistory starts a server that remembers the last three passwords of each user.
func setupHistory(t *testing.T, change ...func(*server.Config)) *bundle {
	t.Helper()
	const last = 3
	conn := storetest.Database(t)
	return setupOn(t, conn, append(change, func(cfg *server.Config) {
		db, err := store.Open(t.Context(), store.Config{
			ConnString: conn, Now: cfg.Now, IDs: store.NewIDs(cfg.Now), LastPasswords: last,
		})
		require.NoError(t, err)
		t.Cleanup(db.Close)
		cfg.Store, cfg.Security.PasswordHistory = db, last
	})...)
}

// TestHistoryChecksAreLimited has callers set passwords that the user has had: a few are compared with the last ones.
func TestHistoryChecksAreLimited(t *testing.T) {
	t.Parallel()
	clock := newFrozenClock()
	b := setupHistory(t, func(cfg *server.Config) { cfg.Limits.WrongPasswords, cfg.Now = 2, clock.now })
	org := b.org()
	user, holder := b.user(org, "u@example.org", nil), b.user(org, "holder@example.org", nil)
	setPassword(b, user, "", "password-1").is(200)
	reset := func(newPassword string) reply {
		return b.do("POST", "/api/users/"+user.Id+"/actions/reset", map[string]string{"new_password": newPassword}, asUser(holder.AccessKey))
	}
	for _, refused := range []func() reply{
		func() reply { return setPassword(b, user, "password-1", "password-1") },
		func() reply { return reset("password-1") },
	} {
		refused().is(403)
		refused().is(403)
		require.Equal(t, "30", refused().is(429).header.Get("Retry-After"))
	}
	setPassword(b, user, "password-1", "password-2").is(429)
	setPassword(b, holder, "", "password-2").is(429)
	clock.forward(30 * time.Second)
	setPassword(b, user, "password-1", "password-2").is(200)
	reset("password-3").is(200)
}

// TestPasswordHistory sets passwords one after another: one of the last three cannot be set again.
func TestPasswordHistory(t *testing.T) {
	t.Parallel()
	b := setupHistory(t)
	org := b.org()
	u, holder := b.user(org, "u@example.org", nil), b.user(org, "holder@example.org", nil)
	current := ""
	reset := func(newPassword string) reply {
		return b.do("POST", "/api/users/"+u.Id+"/actions/reset",
			map[string]string{"new_password": newPassword, "current_password": current}, asUser(u.AccessKey))
	}
	for i := range 4 {
		next := fmt.Sprintf("password-%d", i)
		reset(next).is(200)
		current = next
	}
	for _, used := range []string{"password-3", "password-2", "password-1"} {
		got := reset(used).message(403, "Request body malformed.")
		require.Contains(t, got.body, `{"path":"/new_password","reason":"is one of the user's last passwords"}`)
		b.do("POST", "/api/users/"+u.Id+"/actions/reset", `{"new_password":"`+used+`"}`, asUser(holder.AccessKey)).is(403)
	}
	b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"u@example.org","active":true,"password":"password-3"}`).is(200)
	b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"u@example.org","active":true,"password":"of the admin API"}`).is(200)
	current = "of the admin API"
	reset("password-3").is(403)
	reset("password-0").message(200, "User password updated")
	current = "password-0"
	reset("of the admin API").is(403)
	for _, read := range []string{"/admin/users/" + u.Id, "/admin/users"} {
		require.NotContains(t, b.admin("GET", read, nil).is(200).body, "$argon2")
		require.Contains(t, b.admin("GET", read, nil).body, `"PWHistory":[]`)
	}
}

// TestPasswordsAreNotKeptUnlessAsked: without the setting, nothing is left of earlier passwords.
func TestPasswordsAreNotKeptUnlessAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.user(b.org(), "u@example.org", nil)
	for range 2 {
		b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"u@example.org","active":true,"password":"the same one"}`).is(200)
	}
	hashes, err := b.store.LastPasswords(t.Context(), u.Id)
	require.NoError(t, err)
	require.Len(t, hashes, 1)
}

// TestKeysOlderThanTheirMinimumLength: clients that send a user back as they got it can go on doing so.
func TestKeysOlderThanTheirMinimumLength(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	u := b.user(org, "u@example.org", nil)
	_, err := b.store.UpdateUser(t.Context(), u.Id, store.UserParams{EmailAddress: "u@example.org", Active: true, AccessKey: "old-key"})
	require.NoError(t, err)
	b.do("GET", "/api/users", nil, asUser("old-key")).is(200)
	b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"u@example.org","active":true,"access_key":"old-key"}`).message(200, "old-key")
	got := b.admin("PUT", "/admin/users/"+u.Id, `{"email_address":"u@example.org","active":true,"access_key":"new-key"}`).message(403, "Request body malformed")
	require.Contains(t, got.body, `{"path":"/access_key","reason":"minimum string length is 16"}`)
}

func TestSecretsAreReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.SecondAdminSecret, cfg.SecondNodeSecret = "second-admin", "second-node" })
	hello := func(secret string) reply { return b.do("GET", "/admin/hello", nil, header("Admin-Auth", secret)) }
	node := func(secret string) reply { return b.do("GET", "/system/policies", nil, asUser(secret)) }
	metrics := func(secret string) reply { return b.do("GET", "/metrics", nil, header("Admin-Auth", secret)) }
	for _, valid := range []string{secret, "second-admin"} {
		hello(valid).is(200)
		metrics(valid).is(200)
	}
	for _, valid := range []string{nodeSecret, "second-node"} {
		node(valid).is(200)
	}
	for _, wrong := range []string{"", nodeSecret, "second-node", "other"} {
		hello(wrong).is(401)
	}
	for _, wrong := range []string{"", secret, "second-admin", "other"} {
		node(wrong).is(403)
	}
	b.server.SetSecrets(server.Secrets{Admin: "third-admin", Node: "third-node"})
	hello("third-admin").is(200)
	node("third-node").is(200)
	for _, old := range []string{"", secret, "second-admin"} {
		hello(old).is(401)
		metrics(old).is(401)
	}
	for _, old := range []string{"", nodeSecret, "second-node"} {
		node(old).is(403)
	}
}
