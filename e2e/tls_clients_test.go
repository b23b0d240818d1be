package e2e_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/internal/testport"
	"gatehouse/postgres"
	"gatehouse/store/storetest"
)

// tlsProxy is in front of a server without TLS. It accepts clients with a certificate of the authority, and returns its
// address.
func tlsProxy(t *testing.T, ca *authority, target string) string {
	t.Helper()
	files := ca.newPair("server.example")
	cert, err := tls.LoadX509KeyPair(files.cert, files.key)
	require.NoError(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: ca.pool, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS12,
	})
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { forward(conn, target) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		running.Wait()
	})
	return listener.Addr().String()
}

// forward connects a connection with a target until one of them ends.
func forward(conn net.Conn, target string) {
	defer conn.Close()
	other, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = io.Copy(other, conn)
		_ = other.Close()
	})
	_, _ = io.Copy(conn, other)
	_ = conn.Close()
	sending.Wait()
}

// TestTLSTowardsGatewayAndRedis connects to a gateway and to a Redis that require certificates of an authority.
func TestTLSTowardsGatewayAndRedis(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	own, strangers := ca.newPair("gatehouse"), stranger.newPair("gatehouse")
	redis, dashboard := gatewaytest.StartRedis(t, gatewaytest.WithPassword("sesame")), newLink(t)
	gateway := startGateway(t, dashboard, redis, gatewaytest.Config{})
	host, port := redis.Addr()
	redisAddress := tlsProxy(t, ca, fmt.Sprintf("%s:%d", host, port))
	at, err := url.Parse(gateway.URL())
	require.NoError(t, err)
	gatewayAddress := tlsProxy(t, ca, at.Host)

	database := "DATABASE_URL=" + storetest.EmptyDatabase(t)
	ofRedis := func(caFile string, client pair) []string {
		return []string{
			"TYK_DB_REDISADDRS=" + redisAddress, "TYK_DB_REDISPASSWORD=sesame", "TYK_DB_REDISUSESSL=true",
			"TYK_DB_REDISCAFILE=" + caFile, "TYK_DB_REDISCERTFILE=" + client.cert, "TYK_DB_REDISKEYFILE=" + client.key,
			"TYK_DB_REDISTLSMINVERSION=1.3",
		}
	}
	ofGateway := func(caFile string, client pair) []string {
		return []string{
			"TYK_DB_TYKAPI_HOST=https://" + gatewayAddress, "TYK_DB_TYKAPI_SECRET=" + testControlSecret,
			"GATEHOUSE_GATEWAY_CA_FILE=" + caFile, "GATEHOUSE_GATEWAY_CERT_FILE=" + client.cert,
			"GATEHOUSE_GATEWAY_KEY_FILE=" + client.key,
		}
	}
	// One after another: there is one gateway.
	start := func(t *testing.T, settings []string) *server {
		t.Helper()
		s := startServer(t, slices.Concat(fixedSecrets(), []string{database}, settings)...)
		dashboard.connect(s)
		gateway.WaitReady(t, bound)
		return s
	}
	for name, settings := range map[string][]string{
		"redis": ofRedis(ca.file, own), "gateway": ofGateway(ca.file, own),
		"insecure": append(ofGateway("", own), "TYK_DB_HTTPSERVEROPTIONS_SSLINSECURESKIPVERIFY=true"),
	} {
		s := start(t, settings)
		s.importAPI(s.newOrganisation(), "api-"+name)
		gateway.WaitForAPI(t, "api-"+name, bound)
		require.Zero(t, s.stop())
	}
	for name, settings := range map[string][]string{
		"redis, another authority": ofRedis(stranger.file, own), "gateway, another authority": ofGateway(stranger.file, own),
		"redis, certificate of another": ofRedis(ca.file, strangers), "gateway, certificate of another": ofGateway(ca.file, strangers),
	} {
		s := start(t, settings)
		s.importAPI(s.newOrganisation(), strings.ReplaceAll(strings.ReplaceAll(name, ",", ""), " ", "-"))
		want := map[bool]string{true: "certificate signed by unknown authority", false: "tls: "}[strings.Contains(name, "authority")]
		eventually(t, name, func() bool { return strings.Contains(s.log.String(), want) })
		s.kill()
	}

	t.Run("certificates that nothing uses", func(t *testing.T) {
		t.Parallel()
		for settings, want := range map[string]string{
			"TYK_DB_REDISCAFILE=" + ca.file:                                     "--redis-ca-file (TYK_DB_REDISCAFILE): is set without --redis-tls",
			"GATEHOUSE_GATEWAY_CA_FILE=" + ca.file:                              "--gateway-ca-file (GATEHOUSE_GATEWAY_CA_FILE): is set, and --gateway-host (TYK_DB_TYKAPI_HOST) is no https:// address",
			"TYK_DB_REDISUSESSL=true TYK_DB_REDISCERTFILE=" + own.cert:          "--redis-key-file belongs to it: set both",
			"TYK_DB_REDISUSESSL=true TYK_DB_REDISCAFILE=/dev/null":              "--redis-ca-file, --redis-cert-file, --redis-key-file: read certificates of authorities: /dev/null has none",
			"TYK_DB_TYKAPI_HOST=https://a GATEHOUSE_GATEWAY_CA_FILE=/nowhere/a": "--gateway-ca-file, --gateway-cert-file, --gateway-key-file: read certificates of authorities: open /nowhere/a",
		} {
			all := append(strings.Fields(settings), database, "GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_DATA_DIR="+newDataDir(t))
			require.Contains(t, failure(t, all, "serve"), want)
		}
	})
}

// tlsPostgres starts a Postgres that accepts only TLS with a certificate of the authority for its user, and returns its
// port.
func tlsPostgres(t *testing.T, ca *authority) int {
	t.Helper()
	programs, err := postgres.FindPrograms(t.Context(), "")
	require.NoError(t, err)
	dir := filepath.Join(newDir(t), "cluster")
	require.NoError(t, programs.Mkdir(dir))
	require.NoError(t, programs.Run(t.Context(), "initdb", "--pgdata", dir, "--username=gatehouse", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync"))
	files := ca.newPair("postgres.example")
	for name, content := range map[string]string{
		"server.crt": readFile(t, files.cert), "server.key": readFile(t, files.key), "root.crt": readFile(t, ca.file),
		"pg_hba.conf": "hostssl all gatehouse 127.0.0.1/32 cert\n",
	} {
		require.NoError(t, programs.WriteFile(filepath.Join(dir, name), content))
	}
	port, err := testport.Reserve()
	require.NoError(t, err)
	log := &output{}
	process, err := programs.Start(log, "postgres", "-D", dir, "-c", fmt.Sprint("port=", port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "ssl=on", "-c", "ssl_ca_file=root.crt", "-c", "fsync=off")
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, process.Signal(syscall.SIGINT))
		<-process.Exited()
		if t.Failed() {
			t.Logf("log of Postgres:\n%s", log)
		}
	})
	return port
}

// TestTLSTowardsPostgres has the certificates in the connection string, as libpq does.
func TestTLSTowardsPostgres(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	own := ca.newPair("gatehouse") // the name of the user
	port := tlsPostgres(t, ca)
	connection := func(root, mode string) string {
		return fmt.Sprintf("DATABASE_URL=postgres://gatehouse@127.0.0.1:%d/postgres?sslmode=%s&sslrootcert=%s&sslcert=%s&sslkey=%s",
			port, mode, root, own.cert, own.key)
	}
	s := startServer(t, connection(ca.file, "verify-full"))
	s.newOrganisation()
	require.Zero(t, s.stop())

	elsewhere := []string{"GATEHOUSE_DATA_DIR=" + newDataDir(t), "GATEHOUSE_LISTEN=127.0.0.1:0", "GATEHOUSE_DATABASE_WAIT=0s"}
	require.Contains(t, failure(t, append(elsewhere, connection(stranger.file, "verify-full")), "serve"),
		"certificate signed by unknown authority")
	require.Contains(t, failure(t, append(elsewhere, fmt.Sprintf("DATABASE_URL=postgres://gatehouse@127.0.0.1:%d/postgres?sslmode=disable", port)), "serve"),
		"no encryption")
	require.Contains(t, failure(t, append(elsewhere, connection("/nowhere/ca.pem", "verify-full")), "serve"), "/nowhere/ca.pem")
}
