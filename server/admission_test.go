package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
	"gatehouse/store/storetest"
)

// admissionTime is how long a request is admitted for.
const admissionTime = time.Second

// TestAdmissionEndsWhileABodyIsSent: a client that loses its credential or its permission while it sends a body changes
// nothing any more, however slowly it sends.
func TestAdmissionEndsWhileABodyIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *server.Config) { c.Limits.BodyTimeout, c.SecondAdminSecret = unlimited, "second" })
	org := b.org()
	deleted := b.user(org, "deleted@example.org", map[string]string{"IsAdmin": "admin"})
	demoted := b.user(org, "demoted@example.org", map[string]string{"users": "write", "apis": "read"})
	newUser := `{"email_address":"new@example.org","first_name":"N","last_name":"N","active":true,"user_permissions":{"apis":"read"}}`
	imported := `{"apis":[` + apiOf(org, "late") + `]}`

	finish := map[string]func() *http.Response{
		"a deleted user":         b.sendHalf("POST /api/users", "Authorization: "+deleted.AccessKey, newUser),
		"a lost permission":      b.sendHalf("POST /api/users", "Authorization: "+demoted.AccessKey, newUser),
		"a replaced secret":      b.sendHalf("POST /admin/apis/import", "Admin-Auth: "+secret, imported),
		"a secret that is valid": b.sendHalf("POST /admin/apis/import", "Admin-Auth: second", imported),
	}
	begun := time.Now()
	b.admin("DELETE", "/admin/users/"+deleted.Id, nil).is(200)
	b.admin("PUT", "/admin/users/"+demoted.Id,
		`{"email_address":"demoted@example.org","first_name":"D","last_name":"D","active":true,"user_permissions":{"apis":"read"}}`).is(200)
	b.server.SetSecrets(server.Secrets{Admin: "second", Node: nodeSecret})
	time.Sleep(admissionTime - time.Since(begun)) // a body that is complete before that is in time

	for name, status := range map[string]int{
		"a deleted user": 401, "a lost permission": 403, "a replaced secret": 401, "a secret that is valid": 200,
	} {
		response := finish[name]()
		require.Equal(t, status, response.StatusCode, name)
		require.NoError(t, response.Body.Close())
	}
	require.NotContains(t, b.admin("GET", "/admin/users", nil, header("Admin-Auth", "second")).body, "new@example.org")
}

// sendHalf sends a request but for the end of its body. The function that it returns sends the rest, and returns the
// response.
func (b *bundle) sendHalf(target, credential, body string) (finish func() *http.Response) {
	b.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: gatehouse\r\n%s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		target, credential, len(body))
	require.NoError(b.t, err)
	in := bufio.NewReader(conn)
	admitted, err := http.ReadResponse(in, nil) // the server asks for the body when it has admitted the request
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusContinue, admitted.StatusCode)
	half := len(body) / 2
	_, err = conn.Write([]byte(body[:half]))
	require.NoError(b.t, err)
	return func() *http.Response {
		b.t.Helper()
		_, err := conn.Write([]byte(body[half:]))
		require.NoError(b.t, err)
		response, err := http.ReadResponse(in, nil)
		require.NoError(b.t, err)
		return response
	}
}

// TestAdmissionEndsWhileARequestWaits: a client that loses its credential while its request waits for those of others
// changes nothing any more.
func TestAdmissionEndsWhileARequestWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	org := b.org()
	leaver := b.user(org, "leaver@example.org", map[string]string{"policies": "write"})
	author := asUser(b.user(org, "a@example.org", map[string]string{"apis": "write"}).AccessKey)
	b.do("POST", "/api/apis", classic("base", ""), author).is(200)
	free := lock(t, b.conn, `SELECT FROM apis FOR UPDATE`)
	var stored sync.WaitGroup
	stored.Go(func() { // it holds the memory that documents of the organisation may take while they are stored
		b.do("POST", "/api/apis/oas?base_api_id=base&base_api_version_name=a&new_version_name=b", `{"openapi":"3.0.3",
			"info":{"title":"T","version":"1","x-large":"`+strings.Repeat("x", 1900<<10)+`"},"paths":{},"x-tyk-api-gateway":{"info":{
			"id":"late","name":"late","state":{"active":true}},"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"/late/"}}}}`, author).is(200)
	})
	gatewaytest.Eventually(t, soon, "the version waits for its base", func() bool {
		return storetest.WaitsForLock(t, b.conn)
	})
	finish := b.sendHalf("POST /api/portal/policies", "Authorization: "+leaver.AccessKey,
		`{"id":"late","meta_data":{"x":"`+strings.Repeat("x", 200<<10)+`"}}`)
	begun := time.Now()
	refused := make(chan *http.Response)
	go func() { refused <- finish() }()
	b.admin("DELETE", "/admin/users/"+leaver.Id, nil).is(200)
	time.Sleep(admissionTime - time.Since(begun))
	free()
	response := <-refused
	require.Equal(t, 401, response.StatusCode)
	require.NoError(t, response.Body.Close())
	stored.Wait()
	require.NotContains(t, b.admin("GET", "/admin/policies", nil).body, "late")
	audited := b.audit.of(response.Header.Get("X-Request-Id"))
	require.Len(t, audited, 1)
	require.Equal(t, "unauthorised", audited[0]["outcome"])
}

// TestAdmissionEndsWhileAListIsRead: a client that reads a list slowly gets no more of it when it has lost its
// credential.
func TestAdmissionEndsWhileAListIsRead(t *testing.T) {
	t.Parallel()
	b := setupStreaming(t, unwrapped, func(cfg *server.Config) { cfg.Limits.BodyTimeout = unlimited })
	org := b.org()
	b.fill(org, manyDocuments)
	leaver := b.user(org, "leaver@example.org", map[string]string{"apis": "read"})
	_, body := b.slowConnection("/api/apis?p=-1", leaver.AccessKey)
	begun := time.Now()
	b.admin("DELETE", "/admin/users/"+leaver.Id, nil).is(200)
	time.Sleep(admissionTime - time.Since(begun))
	read, err := io.Copy(io.Discard, body)
	require.Error(t, err, "the list is complete")
	require.Less(t, read, int64(manyDocuments*documentSize))
	require.Contains(t, b.log.String(), "list broken off, its client is not admitted any more")
	require.NotContains(t, b.log.String(), "level=ERROR")
}
