package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// CertificateStatus is the response to a change of a certificate.
type CertificateStatus struct {
	ID      string `json:"id"` // of a certificate that was added: its organisation's ID and its SHA-256
	Status  string `json:"status"`
	Message string `json:"message"`
}

// errUnknownCertificate is a gateway's refusal of a certificate that it does not have.
var errUnknownCertificate = &Refused{
	Status: http.StatusNotFound, Message: "Certificate with given SHA256 fingerprint not found",
}

// AddCertificate stores a certificate in PEM, and its private key if that is there, for an organisation.
func (c *Client) AddCertificate(ctx context.Context, orgID string, pem []byte) (added CertificateStatus, err error) {
	add := request{
		method: http.MethodPost, path: []string{"tyk", "certs"}, query: ofOrganisation(orgID), body: pem,
		contentType: "text/plain",
	}
	err = c.call(ctx, add, &added)
	return added, err
}

// Certificates returns the IDs of an organisation's certificates.
func (c *Client) Certificates(ctx context.Context, orgID string) (ids []string, err error) {
	err = c.listCertificates(ctx, ofOrganisation(orgID), &ids)
	return ids, err
}

// CertificateBasics returns short descriptions of an organisation's certificates.
func (c *Client) CertificateBasics(ctx context.Context, orgID string) (basics []json.RawMessage, err error) {
	query := ofOrganisation(orgID)
	query.Set("mode", "detailed")
	err = c.listCertificates(ctx, query, &basics)
	return basics, err
}

func (c *Client) listCertificates(ctx context.Context, query url.Values, out any) error {
	list := struct {
		Certs any `json:"certs"`
	}{out}
	return c.call(ctx, request{method: http.MethodGet, path: []string{"tyk", "certs"}, query: query}, &list)
}

// Certificate returns the description of a certificate. The ID must be one of a certificate: a gateway reads the file
// with another name.
func (c *Client) Certificate(ctx context.Context, id string) (meta json.RawMessage, err error) {
	if err := c.checkElements(errUnknownCertificate, id); err != nil {
		return nil, err
	}
	err = c.call(ctx, request{method: http.MethodGet, path: []string{"tyk", "certs", id}}, &meta)
	return meta, err
}

// DeleteCertificate deletes a certificate of an organisation. One that the gateway does not have is no error.
func (c *Client) DeleteCertificate(ctx context.Context, orgID, id string) (deleted CertificateStatus, err error) {
	if err := c.checkElements(errUnknownCertificate, id); err != nil {
		return CertificateStatus{}, err
	}
	remove := request{method: http.MethodDelete, path: []string{"tyk", "certs", id}, query: ofOrganisation(orgID)}
	err = c.call(ctx, remove, &deleted)
	return deleted, err
}

func ofOrganisation(orgID string) url.Values {
	if orgID == "" {
		return url.Values{}
	}
	return url.Values{"org_id": {orgID}}
}
