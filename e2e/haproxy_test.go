package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/testport"
	"gatehouse/internal/testprogram"
	"gatehouse/store/storetest"
)

// startHAProxy starts HAProxy with the configuration in deploy/, in front of two servers, and returns its address.
func startHAProxy(t *testing.T, servers ...string) string {
	t.Helper()
	program := testprogram.Need(t, "haproxy", "/usr/sbin/haproxy")
	text, err := os.ReadFile(filepath.Join(repository, "deploy/haproxy/haproxy.cfg"))
	require.NoError(t, err)
	address, err := testport.Address()
	require.NoError(t, err)
	config := string(text)
	for standard, used := range map[string]string{
		"127.0.0.1:3000": address, "127.0.0.1:3001": servers[0], "127.0.0.1:3002": servers[1],
	} {
		require.Equal(t, 1, strings.Count(config, standard), standard)
		config = strings.Replace(config, standard, used, 1)
	}
	file := filepath.Join(newDir(t), "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	log := &output{}
	haproxy := exec.Command(program, "-db", "-f", file)
	haproxy.Stdout, haproxy.Stderr = log, log
	require.NoError(t, haproxy.Start())
	t.Cleanup(func() {
		_ = haproxy.Process.Kill()
		_ = haproxy.Wait()
		if t.Failed() {
			t.Logf("log of HAProxy:\n%s", log)
		}
	})
	eventually(t, "HAProxy reaches a server", func() bool {
		response, err := http.Get("http://" + address + "/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return address
}

// TestRollingRestart restarts two servers behind HAProxy, one after the other, while clients write and read. No request
// fails.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	database := storetest.EmptyDatabase(t)
	servers := make([]*server, 2)
	for i := range servers {
		servers[i] = newServer(t, append(fixedSecrets(), "DATABASE_URL="+database, "GATEHOUSE_STOP_DELAY=5s",
			"GATEHOUSE_TRUSTED_PROXIES=127.0.0.1")...)
		address, err := testport.Address()
		require.NoError(t, err)
		servers[i].address = address
		servers[i].start()
	}
	org := servers[0].newOrganisation()
	proxy := startHAProxy(t, servers[0].address, servers[1].address)
	c, err := client.New("http://"+proxy, client.WithAdminSecret(testAdminSecret))
	require.NoError(t, err)

	var created atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for worker := range 4 {
		writing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				address := fmt.Sprintf("user-%d-%d@example.org", worker, i)
				// t.Context, because a request that was begun is finished.
				response, err := c.CreateUserWithResponse(t.Context(), client.UserRequest{OrgId: &org, EmailAddress: &address})
				if err != nil || response.StatusCode() != http.StatusOK {
					t.Errorf("create user %s: %v, %s", address, err, bodyOf(response))
					return
				}
				created.Add(1)
			}
		})
	}
	serves := regexp.MustCompile(`msg=request .* route=/admin/users status=200 `)
	for _, s := range servers {
		before := created.Load()
		require.Zero(t, s.stop())
		require.Contains(t, s.log.String(), `msg="stopping after a delay, in which requests are served" delay=5s`)
		served := len(s.log.matching(serves))
		s.start()
		eventually(t, "HAProxy uses the server again", func() bool { return len(s.log.matching(serves)) > served })
		require.Greater(t, created.Load(), before)
	}
	stop()
	writing.Wait()
	require.EqualValues(t, created.Load(),
		storetest.Value[int](t, database, `SELECT count(*) FROM users`), "users that were acknowledged")
	t.Logf("%d requests during two restarts, none failed", created.Load())
}

// bodyOf returns the body of a response, if there is one.
func bodyOf(response *client.CreateUserResponse) string {
	if response == nil {
		return ""
	}
	return response.Status() + " " + string(response.Body)
}

// TestStopDelay: between SIGTERM and the stop, the server is not ready, serves requests, and ends their connections.
func TestStopDelay(t *testing.T) {
	t.Parallel()
	s := startServer(t, "GATEHOUSE_STOP_DELAY=10s")
	org := s.newOrganisation()
	s.signal(syscall.SIGTERM)
	eventually(t, "the server is not ready", func() bool {
		status, body := s.get("/ready", "Accept", "*/*")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"output":"the server is stopping"`)
	})
	read := ok(s.client().GetOrgWithResponse(t.Context(), org))(t)
	require.True(t, read.HTTPResponse.Close, "the response has Connection: close")
	require.Zero(t, s.waitExit())
	require.NotContains(t, s.log.String(), "level=ERROR")
}
