package config

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// TLS configures how the server is reached.
type TLS struct {
	Enabled      bool         `flag:"tls" env:"TYK_DB_HTTPSERVEROPTIONS_USESSL" help:"Serve HTTPS: HTTP/1.1 and HTTP/2 over TLS."`
	Certificates Certificates `flag:"tls-certificate" env:"TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES" help:"Files of a certificate, with its chain, and of its key, as CERT_FILE,KEY_FILE; repeat it for more names. Or the list of Tyk Dashboard: [{\"cert_file\": …, \"key_file\": …}, …]. They are read again when they change, and on SIGHUP."`
	MinVersion   TLSVersion   `flag:"tls-min-version" env:"TYK_DB_HTTPSERVEROPTIONS_MINVERSION" default:"1.2" help:"Least version of TLS: 1.2 or 1.3, or as a number (771, 772). Lower ones, which are insecure, are 1.2."`
	CipherSuites []string     `flag:"tls-cipher-suites" env:"TYK_DB_HTTPSERVEROPTIONS_CIPHERSUITES,TYK_DB_HTTPSERVEROPTIONS_SSLCIPHERS" help:"Cipher suites of TLS 1.2, by their names in Go's crypto/tls, separated by commas; TLS 1.3 has its own. Default: those that are secure."`
}

// CertificateFiles are the files of a certificate and of its key.
type CertificateFiles struct {
	// Domain is the Dashboard's. The names are those in the certificate.
	Domain string `json:"domain_name"`
	Cert   string `json:"cert_file"`
	Key    string `json:"key_file"`
}

// Certificates are the certificates of a server.
type Certificates []CertificateFiles

// Set implements pflag.Value. A list replaces what is set, a pair is added to it.
func (c *Certificates) Set(text string) error {
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		var list []CertificateFiles
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return fmt.Errorf(`is no list of {"cert_file": …, "key_file": …}: %w`, err)
		}
		for _, each := range list {
			if each.Cert == "" || each.Key == "" {
				return errors.New("an element lacks cert_file or key_file")
			}
		}
		*c = list
		return nil
	}
	cert, key, ok := strings.Cut(text, ",")
	if !ok || cert == "" || key == "" || strings.Contains(key, ",") {
		return errors.New("must be CERT_FILE,KEY_FILE")
	}
	*c = append(*c, CertificateFiles{Cert: cert, Key: key})
	return nil
}

// String implements pflag.Value.
func (c *Certificates) String() string {
	texts := make([]string, 0, len(*c))
	for _, each := range *c {
		texts = append(texts, each.Cert+","+each.Key)
	}
	return strings.Join(texts, " ")
}

// Type implements pflag.Value.
func (*Certificates) Type() string { return "certificates" }

// TLSVersion is a version of TLS that is secure.
type TLSVersion uint16

// Set implements pflag.Value. Numbers are those of the protocol, as the Dashboard has them.
func (v *TLSVersion) Set(text string) error {
	switch text {
	case "1.0", "1.1", "1.2", "769", "770", "771":
		*v = tls.VersionTLS12
	case "1.3", "772":
		*v = tls.VersionTLS13
	default:
		return errors.New("must be 1.2 or 1.3, or 771 or 772")
	}
	return nil
}

// String implements pflag.Value.
func (v *TLSVersion) String() string {
	if *v == tls.VersionTLS13 {
		return "1.3"
	}
	return "1.2"
}

// Type implements pflag.Value.
func (*TLSVersion) Type() string { return "version" }

// http2Suites are those of which HTTP/2 requires one with TLS 1.2.
var http2Suites = []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"}

func (t *TLS) validate(p *problems) {
	p.addIf(t.Enabled && len(t.Certificates) == 0, "tls", "needs a certificate: set --tls-certificate "+
		"(TYK_DB_HTTPSERVEROPTIONS_CERTIFICATES)")
	for _, name := range t.CipherSuites {
		_, known := suites()[name]
		p.addIf(!known, "tls-cipher-suites", "%q is not the name of a secure cipher suite of Go's crypto/tls", name)
	}
	has := func(name string) bool { return slices.Contains(t.CipherSuites, name) }
	p.addIf(t.CipherSuites != nil && t.MinVersion < tls.VersionTLS13 && !slices.ContainsFunc(http2Suites, has),
		"tls-cipher-suites", "HTTP/2 requires one of %s", strings.Join(http2Suites, ", "))
}

// suites returns the IDs of the cipher suites that are secure, by name.
func suites() map[string]uint16 {
	ids := map[string]uint16{}
	for _, suite := range tls.CipherSuites() {
		ids[suite.Name] = suite.ID
	}
	return ids
}

// Config returns what a server with these settings negotiates, without its certificates.
func (t *TLS) Config() *tls.Config {
	cfg := &tls.Config{MinVersion: uint16(t.MinVersion)}
	for _, name := range t.CipherSuites {
		cfg.CipherSuites = append(cfg.CipherSuites, suites()[name])
	}
	return cfg
}
