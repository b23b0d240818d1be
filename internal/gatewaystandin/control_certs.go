package gatewaystandin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// certificatePrefix and the ID of a certificate are the name under which it is stored.
const certificatePrefix = "cert-raw-"

type certificateStatus struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

type certificateList struct {
	Certs any `json:"certs"`
}

// certificateBasics describes a certificate in a list.
type certificateBasics struct {
	ID         string    `json:"id"`
	IssuerCN   string    `json:"issuer_cn"`
	SubjectCN  string    `json:"subject_cn"`
	DNSNames   []string  `json:"dns_names"`
	HasPrivate bool      `json:"has_private"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	IsCA       bool      `json:"is_ca"`
}

// certificateMeta describes a certificate.
type certificateMeta struct {
	ID          string    `json:"id"`
	Fingerprint string    `json:"fingerprint"`
	HasPrivate  bool      `json:"has_private"`
	Issuer      pkix.Name `json:"issuer"`
	Subject     pkix.Name `json:"subject"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	DNSNames    []string  `json:"dns_names,omitempty"`
	IsCA        bool      `json:"is_ca"`
}

// certificateAPI serves the part of the control API below /tyk/certs.
type certificateAPI struct{ keys *keyStore }

// serve runs the operation. Like a gateway, it does not compare the organisation of the query with that of the ID,
// takes several IDs, and deletes what does not exist.
func (c certificateAPI) serve(r *http.Request, id string) response {
	orgID := r.URL.Query().Get("org_id")
	switch {
	case r.Method == http.MethodPost && id == "":
		return c.addCertificate(r, orgID)
	case r.Method == http.MethodGet && id == "":
		return c.listCertificates(r, orgID)
	case r.Method == http.MethodGet && strings.Contains(id, ","):
		var all []*certificateMeta
		for each := range strings.SplitSeq(id, ",") {
			meta, _ := c.certificate(r.Context(), each)
			all = append(all, meta)
		}
		return ok(all)
	case r.Method == http.MethodGet:
		meta, found := c.certificate(r.Context(), id)
		if !found {
			return failure(http.StatusNotFound, "Certificate with given SHA256 fingerprint not found")
		}
		return ok(meta)
	case r.Method == http.MethodDelete && id != "":
		c.keys.remove(r.Context(), certificatePrefix+id)
		return ok(status{"ok", "removed"})
	}
	return methodNotSupported()
}

func (c certificateAPI) addCertificate(r *http.Request, orgID string) response {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return failure(http.StatusMethodNotAllowed, "Malformed request body")
	}
	leaf, chain, err := readCertificate(content)
	if err != nil {
		return failure(http.StatusForbidden, err.Error())
	}
	id := orgID + hexSHA256(leaf.Raw)
	if _, exists := c.keys.read(r.Context(), certificatePrefix+id); exists {
		return failure(http.StatusForbidden, "Certificate with "+id+" id already exists")
	}
	if err := c.keys.write(r.Context(), certificatePrefix+id, chain); err != nil {
		return failure(http.StatusForbidden, err.Error())
	}
	return ok(certificateStatus{id, "ok", "Certificate added"})
}

// errNoCertificate has the gateway's text.
var errNoCertificate = errors.New( //nolint:staticcheck // see above
	"Failed to decode certificate. It should be PEM encoded.") //nolint:revive // see above

// privateKeyNote stands in place of a private key, which a gateway encrypts.
var privateKeyNote = pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY"})

// readCertificate returns the first certificate of a file, and what is stored of the file. The errors are a gateway's
// texts.
func readCertificate(content []byte) (leaf *x509.Certificate, stored []byte, err error) {
	var chain, key []byte
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if key != nil {
				return nil, nil, errors.New("Found multiple private keys") //nolint:staticcheck // the gateway's text
			}
			key = pem.EncodeToMemory(block)
		case block.Type == "CERTIFICATE":
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			if certificate.NotAfter.Before(time.Now()) {
				return nil, nil, errors.New("certificate is expired")
			}
			if leaf == nil {
				leaf = certificate
			}
			chain = append(chain, pem.EncodeToMemory(block)...)
		}
	}
	if leaf == nil {
		return nil, nil, errNoCertificate
	}
	if key == nil {
		return leaf, chain, nil
	}
	if _, err := tls.X509KeyPair(chain, key); err != nil {
		return nil, nil, err
	}
	return leaf, append(chain, privateKeyNote...), nil
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (c certificateAPI) listCertificates(r *http.Request, orgID string) response {
	ids := c.keys.names(r.Context(), certificatePrefix, orgID)
	if r.URL.Query().Get("mode") != "detailed" {
		if len(ids) == 0 {
			ids = nil // null
		}
		return ok(certificateList{ids})
	}
	basics := []certificateBasics{}
	for _, id := range ids {
		if meta, found := c.certificate(r.Context(), id); found {
			basics = append(basics, certificateBasics{
				id, meta.Issuer.CommonName, meta.Subject.CommonName, meta.DNSNames, meta.HasPrivate, meta.NotBefore,
				meta.NotAfter, meta.IsCA,
			})
		}
	}
	return ok(certificateList{basics})
}

// certificate returns the description of a stored certificate.
func (c certificateAPI) certificate(ctx context.Context, id string) (meta *certificateMeta, found bool) {
	stored, found := c.keys.read(ctx, certificatePrefix+id)
	if !found {
		return nil, false
	}
	block, _ := pem.Decode(stored)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, false
	}
	return &certificateMeta{
		ID: id, Fingerprint: hexSHA256(certificate.Raw), HasPrivate: bytes.HasSuffix(stored, privateKeyNote),
		Issuer: certificate.Issuer, Subject: certificate.Subject, NotBefore: certificate.NotBefore,
		NotAfter: certificate.NotAfter, DNSNames: certificate.DNSNames, IsCA: certificate.IsCA,
	}, true
}
