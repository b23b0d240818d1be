package server_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAbandonedChangesHaveTheirOutcome: the audit log says what happened, also if the client has gone in the middle of
// it.
func TestAbandonedChangesHaveTheirOutcome(t *testing.T) {
	t.Parallel()
	const requests = 200
	b := setup(t)
	org := b.org()
	for i := range requests {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		require.NoError(t, err)
		body := fmt.Sprintf(`{"org_id":"%s","email_address":"gone-%03d@example.org","active":true}`, org, i)
		_, err = fmt.Fprintf(conn, "POST /admin/users HTTP/1.1\r\nHost: x\r\nAdmin-Auth: %s\r\nX-Request-Id: gone-%03d\r\n"+
			"Content-Length: %d\r\n\r\n%s", secret, i, len(body), body)
		require.NoError(t, err)
		time.Sleep(rand.N(8 * time.Millisecond)) // the change is in another of its stages each time
		tcp, ok := conn.(*net.TCPConn)
		require.True(t, ok)
		require.NoError(t, tcp.SetLinger(0))
		require.NoError(t, conn.Close())
	}

	require.Eventually(t, func() bool { // some requests are not over yet
		users := b.admin("GET", "/admin/users", nil).is(200).body
		for i := range requests {
			name := fmt.Sprintf("gone-%03d", i)
			lines := b.audit.of(name)
			if made := strings.Contains(users, name); made != (len(lines) > 0 && lines[0]["outcome"] == "ok") {
				t.Log(name, "is there:", made, "audit log:", lines)
				return false
			}
		}
		return true
	}, soon, pollEvery, "the audit log disagrees")
}
