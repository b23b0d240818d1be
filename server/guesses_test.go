package server_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/password"
	"gatehouse/internal/remoteaddr"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

func newFrozenClock() *clock {
	c := &clock{}
	c.freeze()
	return c
}

// setupGuesses starts a server whose limits are those of the program, and whose clients have the address that they
// state.
func setupGuesses(t *testing.T) (*bundle, *clock) {
	t.Helper()
	clock := newFrozenClock()
	return setup(t, func(cfg *server.Config) {
		cfg.Now = clock.now
		cfg.TrustedProxies = remoteaddr.Proxies{netip.MustParsePrefix("127.0.0.1/32")}
	}), clock
}

// from sends a request from another address.
func from(address string) with { return header("X-Forwarded-For", address) }

// guess is how a client of one security scheme authenticates itself.
type guess struct {
	path   string
	wrong  int // the status of a wrong credential
	right  string
	header string
}

func guesses(b *bundle, key string) map[string]guess {
	return map[string]guess{
		"admin secret":                {"/admin/hello", 401, secret, "Admin-Auth"},
		"admin secret, for metrics":   {"/metrics", 401, secret, "Admin-Auth"},
		"access key":                  {"/api/users", 401, key, "Authorization"},
		"access key, after a scheme":  {"/api/users", 401, "bearer " + key, "Authorization"},
		"node secret":                 {"/system/clientidps", 403, nodeSecret, "Authorization"},
		"node secret, to register":    {"/register/node", 403, nodeSecret, "Authorization"},
		"node secret, for a list":     {"/system/apis", 403, nodeSecret, "Authorization"},
		"admin secret, for a list":    {"/admin/users", 401, secret, "Admin-Auth"},
		"admin secret, with no match": {"/admin/users/nobody", 401, secret, "Admin-Auth"},
	}
}

func (g guess) send(b *bundle, value, address string) reply {
	return b.do("GET", g.path, nil, header(g.header, value), from(address))
}

const refused = `{"Status":"Error","Message":"Too many wrong credentials","Meta":null}`

// TestGuessingIsLimited tries credentials of each scheme, each from addresses of its own.
func TestGuessingIsLimited(t *testing.T) {
	t.Parallel()
	b, clock := setupGuesses(t)
	key := b.user(b.org(), "a@example.org", nil).AccessKey
	number := 0
	for name, g := range guesses(b, key) {
		number++
		address, known := fmt.Sprintf("192.0.2.%d", number), fmt.Sprintf("198.51.100.%d", number)
		require.NotContains(t, []int{401, 403, 429}, g.send(b, g.right, known).status, name)
		for i := range 60 {
			g.send(b, "guess "+strconv.Itoa(i), address).is(g.wrong)
			g.send(b, "guess "+strconv.Itoa(i), known).is(g.wrong)
		}
		for _, value := range []string{"another guess", "guess 0", g.right, ""} {
			got := g.send(b, value, address).is(429)
			require.Equal(t, refused, got.body, name)
			require.Equal(t, "1", got.header.Get("Retry-After"), name)
		}
		// A credential that was right before is right.
		g.send(b, "another guess", known).is(429)
		require.NotContains(t, []int{401, 403, 429}, g.send(b, g.right, known).status, name)
		// Others are not affected.
		require.NotContains(t, []int{401, 403, 429}, g.send(b, g.right, fmt.Sprintf("203.0.113.%d", number)).status, name)
		// One more after a second, and not two.
		clock.forward(time.Second)
		g.send(b, "one more", address).is(g.wrong)
		g.send(b, "and another", address).is(429)
		clock.forward(time.Second)
		require.NotContains(t, []int{401, 403, 429}, g.send(b, g.right, address).status, name)
	}
}

// TestOneLimitForAllSchemes: an address has one limit, whatever it guesses.
func TestOneLimitForAllSchemes(t *testing.T) {
	t.Parallel()
	b, _ := setupGuesses(t)
	for i := range 60 {
		path, name := "/api/users", "Authorization"
		if i%2 == 0 {
			path, name = "/admin/hello", "Admin-Auth"
		}
		require.Contains(t, []int{401, 403}, b.do("GET", path, nil, header(name, strconv.Itoa(i)), from("192.0.2.1")).status)
	}
	for _, g := range guesses(b, "x") {
		g.send(b, g.right, "192.0.2.1").is(429)
	}
}

// TestSameWrongValueCountsOnce: a gateway with an outdated secret, or a page without one, polls.
func TestSameWrongValueCountsOnce(t *testing.T) {
	t.Parallel()
	b, _ := setupGuesses(t)
	for range 200 {
		b.do("GET", "/system/apis", nil, header("Authorization", "outdated")).is(403)
		b.do("GET", "/admin/hello", nil).is(401)
		b.do("GET", "/api/users", nil).is(401)
	}
	for i := range 57 { // 3 have counted
		b.do("GET", "/admin/hello", nil, header("Admin-Auth", strconv.Itoa(i))).is(401)
	}
	b.admin("GET", "/admin/hello", nil).is(429)
}

// TestAddressesOfClients: which addresses have a limit together.
func TestAddressesOfClients(t *testing.T) {
	t.Parallel()
	b, _ := setupGuesses(t)
	for i := range 60 {
		address := fmt.Sprintf("2001:db8:1:2:%x::1", i)
		b.do("GET", "/admin/hello", nil, header("Admin-Auth", strconv.Itoa(i)), from(address)).is(401)
	}
	for address, status := range map[string]int{
		"2001:db8:1:2:ffff::":                     429,
		"[2001:db8:1:2:ffff::]":                   429,
		"[2001:db8:1:2:ffff::]:443":               429,
		"2001:db8:1:2:ffff::, 127.0.0.1":          429,
		"192.0.2.1, 2001:db8:1:2::1":              429, // the left one may be made up
		"2001:db8:1:2::1, 192.0.2.1":              200,
		"2001:db8:1:3::":                          200,
		"192.0.2.77":                              200,
		"::ffff:192.0.2.77":                       200,
		"":                                        200, // the proxy itself
		"unknown":                                 200,
		"2001:db8:1:2::1, unknown":                200, // what a proxy has not written does not count
		"2001:db8:1:2::1,,127.0.0.1":              200,
		"2001:db8:1:2::1, 127.0.0.1:443, 1.2.3.4": 200,
	} {
		require.Equal(t, status, b.admin("GET", "/admin/hello", nil, from(address)).status, address)
	}
	created := b.admin("POST", "/admin/organisations", `{"owner_name":"A"}`, from("192.0.2.9, 127.0.0.1")).is(200)
	require.Equal(t, "192.0.2.9", b.audit.of(created.header.Get("X-Request-Id"))[0]["ip"])
	require.Contains(t, b.log.String(), "from=192.0.2.9")
	// Several headers are one list.
	several := func(r *http.Request) {
		r.Header["X-Forwarded-For"] = []string{"192.0.2.1", "2001:db8:1:2::1", "127.0.0.1"}
	}
	b.admin("GET", "/admin/hello", nil, several).is(429)
}

// TestForwardedForIsIgnored: without trusted proxies, clients cannot choose their address.
func TestForwardedForIsIgnored(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.Now = newFrozenClock().now })
	for i := range 61 {
		address := fmt.Sprintf("192.0.2.%d", i)
		b.do("GET", "/admin/hello", nil, header("Admin-Auth", strconv.Itoa(i)), from(address), header("X-Real-IP", address),
			header("Forwarded", "for="+address))
	}
	created := b.admin("POST", "/admin/organisations", `{"owner_name":"A"}`, from("192.0.2.9")).is(429)
	require.Equal(t, "127.0.0.1", b.audit.of(created.header.Get("X-Request-Id"))[0]["ip"])
	require.NotContains(t, b.log.String(), "192.0.2.")
	require.Contains(t, b.log.String(), "from=127.0.0.1")
	require.Contains(t, b.log.String(), "status=429")
}

// TestManyGuessesAtOnce: credentials that are being compared count as if they were wrong, and only until it is known
// that they are not.
func TestManyGuessesAtOnce(t *testing.T) {
	t.Parallel()
	b, _ := setupGuesses(t)
	org := b.org()
	keys := make([]string, 120)
	for i := range keys {
		keys[i] = b.user(org, fmt.Sprintf("u%d@example.org", i), nil).AccessKey
	}
	send := func(n int, address string, key func(int) string) (byStatus map[int]int) {
		byStatus = map[int]int{}
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				got := b.do("GET", "/api/users", nil, asUser(key(i)), from(address))
				mu.Lock()
				defer mu.Unlock()
				byStatus[got.status]++
			})
		}
		all.Wait()
		return byStatus
	}
	require.Equal(t, map[int]int{200: 120}, send(120, "192.0.2.1", func(i int) string { return keys[i] }))
	require.Equal(t, map[int]int{401: 60, 429: 90}, send(150, "192.0.2.2", func(i int) string { return "guess " + strconv.Itoa(i) }))
	require.Equal(t, map[int]int{401: 150}, send(150, "192.0.2.3", func(int) string { return "outdated" }))
	require.Equal(t, map[int]int{200: 120}, send(120, "192.0.2.1", func(i int) string { return keys[i] }))
}

// TestRevokedCredentialCounts: a credential that was right is not exempt after it was revoked.
func TestRevokedCredentialCounts(t *testing.T) {
	t.Parallel()
	b, _ := setupGuesses(t)
	user := b.user(b.org(), "a@example.org", nil)
	ask := func() reply { return b.do("GET", "/api/users", nil, asUser(user.AccessKey), from("192.0.2.1")) }
	ask().is(200)
	for i := range 60 {
		b.do("GET", "/api/users", nil, asUser(strconv.Itoa(i)), from("192.0.2.1")).is(401)
	}
	ask().is(200)
	b.admin("DELETE", "/admin/users/"+user.Id, nil).is(200)
	ask().is(401)
	ask().is(429)
}

// TestLimitsCanBeSwitchedOff sets both limits of guesses to 0.
func TestLimitsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.Limits.WrongCredentials, cfg.Limits.WrongPasswords = 0, 0 })
	for i := range 100 {
		b.do("GET", "/admin/hello", nil, header("Admin-Auth", strconv.Itoa(i))).is(401)
	}
	b.admin("GET", "/admin/hello", nil).is(200)
}

// setPassword sends a request for a new password of the user.
func setPassword(b *bundle, user admin.User, current, next string, change ...with) reply {
	return b.do("POST", "/api/users/"+user.Id+"/actions/reset",
		map[string]string{"current_password": current, "new_password": next}, append(change, asUser(user.AccessKey))...)
}

// othersInterval is the time between changes of the passwords of others: without it, they would occupy a processor, as
// long as wrong passwords are checked.
const othersInterval = 200 * time.Millisecond

// TestGuessingPasswordsIsSlow tries wrong passwords of one user at once: one is checked a second, and others are not
// delayed by it.
func TestGuessingPasswordsIsSlow(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) { cfg.PasswordCost = password.Cost{} })
	org := b.org()
	victim, other := b.user(org, "a@example.org", nil), b.user(org, "b@example.org", nil)
	setPassword(b, victim, "", "correct horse").is(200)
	setPassword(b, other, "", "battery staple").is(200)
	require.Contains(t, storetest.Dump(t, b.conn), "$argon2id$v=19$m=19456,t=2,p=1$", "the cost without a configuration")

	changeBoth := func() time.Duration {
		start := time.Now()
		setPassword(b, other, "battery staple", "battery staple").is(200)
		// An administrator sets the password of the victim, too.
		body := map[string]any{"org_id": org, "email_address": "a@example.org", "first_name": "A", "last_name": "B", "active": true, "password": "correct horse"}
		b.admin("PUT", "/admin/users/"+victim.Id, body).is(200)
		return time.Since(start)
	}
	alone := changeBoth()

	begun := time.Now()
	var all sync.WaitGroup
	var wrong, tooMany atomic.Int64
	for i := range 20 {
		all.Go(func() {
			switch got := setPassword(b, victim, "guess "+strconv.Itoa(i), "changed"); got.status {
			case 403:
				wrong.Add(1)
			case 429:
				tooMany.Add(1)
				require.NotEmpty(t, got.header.Get("Retry-After"))
			default:
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	var others []time.Duration
	for wrong.Load() < 4 { // while the victim's are checked
		others = append(others, changeBoth())
		time.Sleep(othersInterval)
	}
	all.Wait()
	require.Less(t, slices.Min(others), 5*alone+2*time.Second, "behind the victim's, it would take 8 seconds more")
	require.GreaterOrEqual(t, time.Since(begun), time.Duration(wrong.Load())*time.Second)
	require.Positive(t, tooMany.Load())
	require.LessOrEqual(t, wrong.Load(), 10+int64(time.Since(begun)/(6*time.Second)), "10, and one more every 6 seconds")
	var right reply
	gatewaytest.Eventually(t, soon, "the limit allows another password", func() bool {
		right = setPassword(b, victim, "correct horse", "and again")
		return right.status != http.StatusTooManyRequests
	})
	right.is(200)
}

// TestWrongPasswordsAreLimited: also one after another.
func TestWrongPasswordsAreLimited(t *testing.T) {
	t.Parallel()
	clock := newFrozenClock()
	b := setup(t, func(cfg *server.Config) { cfg.Limits.WrongPasswords, cfg.Now = 2, clock.now })
	user := b.user(b.org(), "a@example.org", nil)
	setPassword(b, user, "", "correct horse").is(200)
	setPassword(b, user, "1", "changed").is(403)
	setPassword(b, user, "1", "changed").is(403)
	setPassword(b, user, "2", "changed").is(403)
	got := setPassword(b, user, "correct horse", "changed").is(429)
	require.Equal(t, refused, got.body)
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err)
	require.Equal(t, 30, seconds)
	clock.forward(time.Duration(seconds) * time.Second)
	setPassword(b, user, "correct horse", "changed").is(200)
}

// setupLoginFailures starts a server with limits of failed log-ins, whose clients have the address that they state.
func setupLoginFailures(t *testing.T, limits server.LoginFailures) (*bundle, *clock) {
	t.Helper()
	clock := newFrozenClock()
	limits.Window = 15 * time.Minute
	return setup(t, func(cfg *server.Config) {
		cfg.Now, cfg.Security.LoginFailures = clock.now, limits
		cfg.TrustedProxies = remoteaddr.Proxies{netip.MustParsePrefix("127.0.0.1/32")}
	}), clock
}

// TestLoginFailuresOfUsers: after the limit, no password of the user is compared until the window is over.
func TestLoginFailuresOfUsers(t *testing.T) {
	t.Parallel()
	b, clock := setupLoginFailures(t, server.LoginFailures{PerUser: 2})
	org := b.org()
	user, other := b.user(org, "a@example.org", nil), b.user(org, "b@example.org", nil)
	setPassword(b, user, "", "correct horse").is(200)
	setPassword(b, user, "1", "changed").is(403)
	setPassword(b, user, "1", "changed").is(403)
	setPassword(b, user, "correct horse", "correct horse").is(200)
	setPassword(b, user, "2", "changed").is(403)
	setPassword(b, other, "", "battery staple").is(200) // others are not affected
	for _, passed := range []int{0, 300, 899} {
		got := setPassword(b, user, "correct horse", "changed").is(429)
		require.Equal(t, refused, got.body)
		require.Equal(t, strconv.Itoa(900-passed), got.header.Get("Retry-After"))
		clock.forward(time.Duration(map[int]int{0: 300, 300: 599, 899: 1}[passed]) * time.Second)
	}
	setPassword(b, user, "3", "changed").is(403)
	setPassword(b, user, "correct horse", "changed").is(200)
}

// nonceFor returns a nonce that signs on at /tap.
func nonceFor(b *bundle, org string) string {
	b.t.Helper()
	return b.admin("POST", "/admin/sso", map[string]string{"ForSection": "dashboard", "OrgID": org}).is(200).meta()
}

// TestLoginFailuresOfAddresses: after the limit, neither passwords nor nonces from the address are checked, and a nonce
// can be redeemed from another one.
func TestLoginFailuresOfAddresses(t *testing.T) {
	t.Parallel()
	b, clock := setupLoginFailures(t, server.LoginFailures{PerAddress: 3})
	org := b.org()
	one, two := b.user(org, "a@example.org", nil), b.user(org, "b@example.org", nil)
	setPassword(b, one, "", "correct horse").is(200)
	setPassword(b, two, "", "battery staple").is(200)
	redeem := func(nonce, address string) reply { return b.do("GET", "/tap?nonce="+nonce, nil, from(address)) }
	nonce := nonceFor(b, org)

	setPassword(b, one, "same", "changed", from("192.0.2.1")).is(403)
	setPassword(b, two, "same", "changed", from("192.0.2.1")).is(403)
	unknown := redeem("guess", "192.0.2.1").is(401)
	got := setPassword(b, one, "correct horse", "changed", from("192.0.2.1")).is(429)
	require.Equal(t, "900", got.header.Get("Retry-After"))
	require.Equal(t, unknown.body, redeem(nonce, "192.0.2.1").is(401).body, "as an unknown one")
	b.do("HEAD", "/tap?nonce="+nonce, nil, from("192.0.2.1")).is(401)
	require.Contains(t, b.log.String(), `msg="sign-on refused" from=192.0.2.1`)

	setPassword(b, two, "battery staple", "changed", from("192.0.2.2")).is(200)
	redeem(nonce, "192.0.2.2").is(200)
	b.do("GET", "/api/users", nil, asUser(one.AccessKey), from("192.0.2.1")).is(200)
	clock.forward(15 * time.Minute)
	setPassword(b, one, "correct horse", "changed", from("192.0.2.1")).is(200)
}

// TestLoginFailuresAreHidden: the response does not tell a limit that is used up from a wrong password.
func TestLoginFailuresAreHidden(t *testing.T) {
	t.Parallel()
	b, _ := setupLoginFailures(t, server.LoginFailures{PerUser: 1, Hide: true})
	user := b.user(b.org(), "a@example.org", nil)
	setPassword(b, user, "", "correct horse").is(200)
	wrong := setPassword(b, user, "1", "changed").is(403)
	start := time.Now()
	hidden := setPassword(b, user, "correct horse", "changed").is(403)
	require.Equal(t, wrong.body, hidden.body)
	require.Empty(t, hidden.header.Get("Retry-After"))
	require.GreaterOrEqual(t, time.Since(start), password.WrongDelay)
	require.Contains(t, b.log.String(), `msg="password not checked" user=`+user.Id)
}

// TestBearer: access keys work alone, and after a scheme, as the published contract declares it.
func TestBearer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	user := b.user(org, "a@example.org", nil)
	for _, scheme := range []string{"", "Bearer ", "bearer ", "BEARER ", "bEaReR  "} {
		b.do("GET", "/api/users", nil, asUser(scheme+user.AccessKey)).is(200)
	}
	for _, wrong := range []string{
		"Bearer", "Bearer ", "Bearer wrong", "Basic " + user.AccessKey, "Bearer" + user.AccessKey,
		"Bearer bearer " + user.AccessKey, user.AccessKey + " Bearer",
	} {
		b.do("GET", "/api/users", nil, asUser(wrong)).message(401, "Not authorised")
	}
	// A key that begins like a scheme is one as it is.
	body := map[string]any{"org_id": org, "email_address": "a@example.org", "first_name": "A", "last_name": "B", "active": true, "access_key": "Bearer of the key to it"}
	b.admin("PUT", "/admin/users/"+user.Id, body).is(200)
	b.do("GET", "/api/users", nil, asUser("Bearer of the key to it")).is(200)
	b.do("GET", "/api/users", nil, asUser("of the key to it")).is(401)
}

// TestBearerIsOneCredential: however it is written, a key that was right is exempt from the limit, and takes the memory
// of one.
func TestBearerIsOneCredential(t *testing.T) {
	t.Parallel()
	b, _ := setupGuesses(t)
	g := guess{path: "/api/users", header: "Authorization"}
	key := b.user(b.org(), "a@example.org", nil).AccessKey
	g.send(b, key, "192.0.2.1").is(200)
	for i := range 60 {
		g.send(b, "guess "+strconv.Itoa(i), "192.0.2.1").is(401)
	}
	for _, written := range []string{key, "Bearer " + key, "bearer   " + key, "bEaReR " + key} {
		g.send(b, written, "192.0.2.1").is(200)
	}
	g.send(b, "Bearer another", "192.0.2.1").is(429)
}

// TestLoggedValuesAreBounded: nothing that a client sends makes a line of the log long.
func TestLoggedValuesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *server.Config) {
		cfg.TrustedProxies = remoteaddr.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	})
	long := make([]byte, 10_000)
	for i := range long {
		long[i] = 'a'
	}
	for _, name := range []string{
		"X-Forwarded-For", "X-Real-IP", "X-Request-Id", "Admin-Auth", "Authorization", "x-tyk-nodeid", "x-tyk-hostname",
		"x-tyk-session-id", "User-Agent", "Accept-Encoding", "Content-Type", "Content-Encoding",
	} {
		for _, path := range []string{"/admin/hello", "/hello", "/api/users", "/register/node", "/nothing"} {
			b.do("GET", path, nil, header("Admin-Auth", secret), header("Authorization", nodeSecret), header(name, string(long)))
		}
	}
	b.do(string(long), "/hello", nil)
	b.do("GET", "/"+string(long), nil)
	b.do("GET", "/hello?"+string(long), nil)
	b.do("GET", "/admin/users?p="+string(long), nil, header("Admin-Auth", secret))
	b.admin("POST", "/admin/organisations", `{"owner_name":`+string(long))
	require.NotContains(t, b.log.String(), string(long[:200]))
}
