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
	nonceFor := func(more string) string {
		return b.admin("POST", "/admin/sso", `{"ForSection":"dashboard","OrgID":"`+org+`"`+more+`}`).says(200, "SSO Nonce created").meta()
	}
	t.Run("is the base64 of a UUID's text, and kept as a hash", func(t *testing.T) {
		nonce := nonceFor("")
		require.Regexp(t, `^[A-Za-z0-9_-]{48}$`, nonce)
		text, err := base64.URLEncoding.DecodeString(nonce)
		require.NoError(t, err)
		_, err = uuid.Parse(string(text))
		require.NoError(t, err)
		require.NotContains(t, storetest.Dump(t, b.conn), nonce)
		require.NotContains(t, b.log.String(), nonce)
	})
	t.Run("is good once, of however many at a time", func(t *testing.T) {
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
	t.Run("is not spent by HEAD", func(t *testing.T) {
		nonce := nonceFor("")
		for _, path := range []string{"/tap", "/sso"} {
			b.do("HEAD", path+"?nonce="+nonce, nil).is(200)
			b.do("HEAD", path+"?nonce=unknown", nil).is(401)
		}
		b.do("GET", "/tap?nonce="+nonce, nil).is(200)
		b.do("HEAD", "/tap?nonce="+nonce, nil).is(401)
	})
	t.Run("names are taken in any case", func(t *testing.T) {
		nonce := b.admin("POST", "/admin/sso", `{"forsection":"portal","ORGID":"`+org+`","emailAddress":"x@example.org","groupsids":null}`).is(200).meta()
		require.Contains(t, b.do("GET", "/sso?nonce="+nonce, nil).is(200).body, `"EmailAddress":"x@example.org"`)
	})
	t.Run("only registered users, where that is asked for", func(t *testing.T) {
		const only = `,"SSOOnlyForRegisteredUsers":true,"EmailAddress":`
		b.do("GET", "/tap?nonce="+nonceFor(only+`"REGISTERED@example.org"`), nil).is(200)
		b.do("GET", "/tap?nonce="+nonceFor(only+`"other@example.org"`), nil).is(403)
	})
	t.Run("what does not fit", func(t *testing.T) {
		b.admin("POST", "/admin/sso", `{"ForSection":"dashboard","OrgID":"588b4f0bb275ff0001cc7471"}`).
			says(400, "Cannot create an SSO session for an invalid payload: [Error: Org id not found ('588b4f0bb275ff0001cc7471').]")
		for _, section := range []string{``, `"ForSection":"cellar",`, `"ForSection":"Dashboard",`} {
			b.admin("POST", "/admin/sso", `{`+section+`"OrgID":"`+org+`"}`).is(400)
		}
		b.do("GET", "/tap", nil).is(422)
		b.do("GET", "/tap?nonce=unknown", nil).is(401)
	})
	t.Run("is good for a minute", func(t *testing.T) {
		young, old := nonceFor(""), nonceFor("")
		b.clock.forward(59 * time.Second)
		b.do("GET", "/tap?nonce="+young, nil).is(200)
		b.clock.forward(2 * time.Second)
		b.do("GET", "/tap?nonce="+old, nil).is(401)
	})
}
