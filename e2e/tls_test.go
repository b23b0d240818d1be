package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/store/storetest"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// file is its certificate, pool has it.
	file string
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(newDir(t), "ca.pem"), pool: x509.NewCertPool()}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	writeFile(t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	require.NoError(t, os.Chmod(a.file, 0o644))
	return a
}

// pair are the files of a certificate and its key.
type pair struct{ cert, key string }

// issue writes a certificate for a name and for 127.0.0.1, which is also the one of a client, over a pair of files.
func (a *authority) issue(name string, files pair) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	writeFile(a.t, files.cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(a.t, files.key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

// newPair returns new files of a certificate for a name.
func (a *authority) newPair(name string) pair {
	a.t.Helper()
	dir := newDir(a.t)
	files := pair{cert: filepath.Join(dir, name+".pem"), key: filepath.Join(dir, name+".key")}
	a.issue(name, files)
	return files
}

// config returns what a client needs that trusts the authority.
func (a *authority) config() *tls.Config {
	return &tls.Config{RootCAs: a.pool, MinVersion: tls.VersionTLS12}
}

// handshake returns the state of a new connection to a server, for a name.
func handshake(t *testing.T, address, name string, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	cfg = cfg.Clone()
	cfg.ServerName = name
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

// TestTLS is the life of a server with TLS: certificates by name, both versions of HTTP, and certificates that change.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	first, second := ca.newPair("one.example"), ca.newPair("two.example")
	s := startServer(t, "DATABASE_URL="+storetest.EmptyDatabase(t), "TYK_DB_HTTPSERVEROPTIONS_USESSL=true",
		`TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES=[{"domain_name":"*","cert_file":"`+first.cert+`","key_file":"`+first.key+`"},`+
			`{"cert_file":"`+second.cert+`","key_file":"`+second.key+`"}]`)
	require.Contains(t, s.stdout.String(), "gatehouse listens on https://"+s.address)
	serial := func(name string) string {
		state, err := handshake(t, s.address, name, ca.config())
		require.NoError(t, err)
		return state.PeerCertificates[0].SerialNumber.String()
	}
	get := func(client *http.Client) (protocol string, reused bool) {
		request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		}), http.MethodGet, "https://"+s.address+"/admin/organisations", nil)
		require.NoError(t, err)
		request.Header.Set("Admin-Auth", s.adminSecret())
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		return response.Proto, reused
	}
	newClient := func(http2 bool) *http.Client {
		protocols := &http.Protocols{}
		protocols.SetHTTP1(!http2)
		protocols.SetHTTP2(http2)
		transport := &http.Transport{TLSClientConfig: ca.config(), Protocols: protocols}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
	http1, http2 := newClient(false), newClient(true)
	protocol, _ := get(http1)
	require.Equal(t, "HTTP/1.1", protocol)
	protocol, _ = get(http2)
	require.Equal(t, "HTTP/2.0", protocol)

	_, err := handshake(t, s.address, "three.example", ca.config())
	require.ErrorContains(t, err, "certificate is valid for one.example", "the first certificate is for other names")
	before := serial("one.example")
	of2 := serial("two.example")
	require.NotEqual(t, before, of2)

	ca.issue("one.example", first)
	eventually(t, "the new certificate is used", func() bool { return serial("one.example") != before })
	require.Equal(t, of2, serial("two.example"))
	for _, client := range []*http.Client{http1, http2} {
		_, reused := get(client)
		require.True(t, reused, "connections stay")
	}

	good := serial("one.example")
	writeFile(t, first.key, "broken")
	eventually(t, "it is logged", func() bool {
		return strings.Contains(s.log.String(), `level=ERROR msg="certificate has changed and cannot be used, using the one from before" err="read certificate: `+first.cert)
	})
	require.Equal(t, good, serial("one.example"))
	s.hangup("msg=reloaded") // the line after that of the failure
	require.Contains(t, s.log.String(), "reload certificate failed")
	require.Equal(t, good, serial("one.example"))
	ca.issue("one.example", first)
	s.hangup("msg=reloaded")
	require.NotEqual(t, good, serial("one.example"), "read before the reload is logged")

	conn, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(answer, []byte("HTTP/1.0 400")), string(answer))
	require.NoError(t, conn.Close())
	require.Zero(t, s.stop())
	require.NotContains(t, s.log.String(), "TLS handshake error", "anybody can cause such lines")
}

func TestTLSVersionsAndSuites(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	files := ca.newPair("one.example")
	database := "DATABASE_URL=" + storetest.EmptyDatabase(t)
	start := func(t *testing.T, settings ...string) *server {
		t.Helper()
		return startServer(t, append(settings, database, "TYK_DB_HTTPSERVEROPTIONS_USESSL=true",
			"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES="+files.cert+","+files.key)...)
	}
	old := ca.config()
	old.MaxVersion = tls.VersionTLS12
	t.Run("a minimum version", func(t *testing.T) {
		t.Parallel()
		s := start(t, "TYK_DB_HTTPSERVEROPTIONS_MINVERSION=772")
		_, err := handshake(t, s.address, "one.example", old)
		require.ErrorContains(t, err, "protocol version not supported")
		state, err := handshake(t, s.address, "one.example", ca.config())
		require.NoError(t, err)
		require.Equal(t, uint16(tls.VersionTLS13), state.Version)
	})
	t.Run("cipher suites, and no version below 1.2", func(t *testing.T) {
		t.Parallel()
		s := start(t, "TYK_DB_HTTPSERVEROPTIONS_MINVERSION=769",
			"TYK_DB_HTTPSERVEROPTIONS_CIPHERSUITES=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
		state, err := handshake(t, s.address, "one.example", old)
		require.NoError(t, err)
		require.Equal(t, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, state.CipherSuite)
		other := old.Clone()
		other.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		_, err = handshake(t, s.address, "one.example", other)
		require.ErrorContains(t, err, "handshake failure")
		ancient := ca.config()
		ancient.MinVersion, ancient.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		_, err = handshake(t, s.address, "one.example", ancient)
		require.Error(t, err)
	})
}
