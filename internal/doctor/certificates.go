package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"gatehouse/internal/tlsfiles"
)

// expiresSoon is the remaining validity below which a certificate is a warning. ACME clients renew 30 days before.
const expiresSoon = 14 * 24 * time.Hour

// Certificate is a certificate of the server, or one that it authenticates with as a client.
type Certificate struct {
	// Setting is the name of the flag that configures the certificate, without dashes.
	Setting string
	Files   tlsfiles.Pair
}

// CheckCertificates checks that certificates can be read, match their keys, and do not expire soon.
func CheckCertificates(all []Certificate, now func() time.Time) Check {
	const name = "certificates"
	return Check{name, func(context.Context) (findings []Finding) {
		for _, each := range all {
			loaded, err := tlsfiles.Load([]tlsfiles.Pair{each.Files})
			if err != nil {
				findings = append(findings, Finding{
					name, Fault, "--" + each.Setting + ": " + err.Error(), adviceCertificate(err),
				})
				continue
			}
			for pair, leaf := range loaded.Leaves() {
				findings = append(findings, validity(name, pair, leaf, now()))
			}
			if info, err := os.Stat(each.Files.Key); err == nil && info.Mode().Perm()&modeOfOthers != 0 {
				findings = append(findings, Finding{
					name, Warning, fmt.Sprintf("every account has access to the key %s (mode %04o)", each.Files.Key,
						info.Mode().Perm()), "run chmod 600 " + each.Files.Key,
				})
			}
		}
		if findings == nil {
			return []Finding{{name, OK, "none is configured", ""}}
		}
		return findings
	}}
}

func adviceCertificate(err error) string {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "correct the path, or allow the account of the server to read the file"
	}
	return "configure a certificate and its private key as PEM files, the certificate before its chain"
}

// validity compares the validity period of a certificate with the current time.
func validity(name string, pair tlsfiles.Pair, leaf *x509.Certificate, now time.Time) Finding {
	end := leaf.NotAfter.UTC().Format(time.DateTime)
	until := fmt.Sprintf("%s (%s) is valid until %s", pair.Certificate, leaf.Subject, end)
	const advice = "renew it; the server reads the new files within seconds"
	switch {
	case now.After(leaf.NotAfter):
		return Finding{name, Fault, "has expired: " + until, advice}
	case now.Before(leaf.NotBefore):
		return Finding{
			name, Fault, fmt.Sprintf("%s is not valid before %s", pair.Certificate, leaf.NotBefore.UTC().Format(time.DateTime)),
			"check the clock of this machine, or use another certificate",
		}
	case leaf.NotAfter.Sub(now) < expiresSoon:
		return Finding{name, Warning, "expires soon: " + until, advice}
	}
	return Finding{name, OK, until, ""}
}
