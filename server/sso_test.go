package server_test

import (
	"encoding/base64"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

func TestNonces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	b.user(org, "registered@example.org", nil)
	nonceOf := func(section, more string) string {
		return b.admin("POST", "/admin/sso", `{"ForSection":"`+section+`","OrgID":"`+org+`"`+more+`}`).message(200, "SSO Nonce created").meta()
	}
	nonceFor := func(more string) string { return nonceOf("dashboard", more) }
	t.Run("a nonce is the base64 of a UUID, and stored as a hash", func(t *testing.T) {
		nonce := nonceFor("")
		require.Regexp(t, `^[A-Za-z0-9_-]{48}$`, nonce)
		text, err := base64.URLEncoding.DecodeString(nonce)
		require.NoError(t, err)
		_, err = uuid.Parse(string(text))
		require.NoError(t, err)
		require.NotContains(t, storetest.Dump(t, b.conn), nonce)
		require.NotContains(t, b.log.String(), nonce)
	})
	t.Run("a nonce can be redeemed once, also concurrently", func(t *testing.T) {
		nonce := nonceFor("")
		var won atomic.Int64
		var running sync.WaitGroup
		for range 20 {
			running.Go(func() {
				if b.do("GET", "/tap?nonce="+nonce, nil).status == 200 {
					won.Add(1)
				}
			})
		}
		running.Wait()
		require.EqualValues(t, 1, won.Load())
	})
	t.Run("HEAD does not redeem a nonce", func(t *testing.T) {
		for path, section := range map[string]string{"/tap": "dashboard", "/sso": "portal"} {
			nonce := nonceOf(section, "")
			b.do("HEAD", path+"?nonce="+nonce, nil).is(200)
			b.do("HEAD", path+"?nonce=unknown", nil).is(401)
			b.do("GET", path+"?nonce="+nonce, nil).is(200)
			b.do("HEAD", path+"?nonce="+nonce, nil).is(401)
		}
	})
	t.Run("a nonce signs on where it is for", func(t *testing.T) {
		portal, dashboard := nonceOf("portal", ""), nonceOf("dashboard", "")
		unknown := b.do("GET", "/tap?nonce=unknown", nil).is(401).body
		require.Equal(t, unknown, b.do("GET", "/tap?nonce="+portal, nil).is(401).body)
		require.Equal(t, unknown, b.do("GET", "/sso?nonce="+dashboard, nil).is(401).body)
		b.do("HEAD", "/tap?nonce="+portal, nil).is(401)
		require.Contains(t, b.do("GET", "/sso?nonce="+portal, nil).is(200).body, `"ForSection":"portal"`)
		require.Contains(t, b.do("GET", "/tap?nonce="+dashboard, nil).is(200).body, `"ForSection":"dashboard"`)
	})
	t.Run("UserNotAllowed refuses everybody", func(t *testing.T) {
		for _, registered := range []string{"", `,"EmailAddress":"registered@example.org","SSOOnlyForRegisteredUsers":true`} {
			refused := nonceFor(`,"usernotallowed":true` + registered)
			b.do("HEAD", "/tap?nonce="+refused, nil).is(403)
			b.do("GET", "/tap?nonce="+refused, nil).message(403, "The user is not allowed to sign on.")
			b.do("GET", "/tap?nonce="+refused, nil).is(401)
		}
	})
	t.Run("names are case-insensitive", func(t *testing.T) {
		nonce := b.admin("POST", "/admin/sso", `{"forsection":"portal","ORGID":"`+org+`","emailAddress":"x@example.org","groupsids":null}`).is(200).meta()
		require.Contains(t, b.do("GET", "/sso?nonce="+nonce, nil).is(200).body, `"EmailAddress":"x@example.org"`)
	})
	t.Run("a nonce can be limited to registered users", func(t *testing.T) {
		const only = `,"SSOOnlyForRegisteredUsers":true,"EmailAddress":`
		b.do("GET", "/tap?nonce="+nonceFor(only+`"REGISTERED@example.org"`), nil).is(200)
		b.do("GET", "/tap?nonce="+nonceFor(only+`"other@example.org"`), nil).is(403)
	})
	t.Run("invalid requests are refused", func(t *testing.T) {
		b.admin("POST", "/admin/sso", `{"ForSection":"dashboard","OrgID":"588b4f0bb275ff0001cc7471"}`).
			message(400, "Cannot create an SSO session for an invalid payload: [Error: Org id not found ('588b4f0bb275ff0001cc7471').]")
		for _, section := range []string{``, `"ForSection":"cellar",`, `"ForSection":"Dashboard",`} {
			b.admin("POST", "/admin/sso", `{`+section+`"OrgID":"`+org+`"}`).is(400)
		}
		b.do("GET", "/tap", nil).is(422)
		b.do("GET", "/tap?nonce=unknown", nil).is(401)
	})
	t.Run("a nonce expires after a minute", func(t *testing.T) {
		b.clock.freeze()
		young, old := nonceFor(""), nonceFor("")
		b.clock.forward(59 * time.Second)
		b.do("GET", "/tap?nonce="+young, nil).is(200)
		b.clock.forward(2 * time.Second)
		b.do("GET", "/tap?nonce="+old, nil).is(401)
	})
}
