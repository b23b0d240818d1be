package server

import (
	"context"
	"encoding/json"
	"errors"

	"gatehouse/apiserver"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
)

// errForeignCertificate is replied to as an unknown certificate is.
var errForeignCertificate = errors.New("the ID is none of a certificate of the caller's organisation")

// unknownCertificate is the reply where the gateway does not have the certificate, or has it for another organisation.
func unknownCertificate[R any](replies interface{ NotFound(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.When(func(err error) bool {
		return isUnknownKey(err) || errors.Is(err, errForeignCertificate)
	}, replies.NotFound)
}

// certificateErrors are the replies to errors of a certificate.
func certificateErrors[R any](replies interface {
	NotFound(cause error) R
	Gateway(message string, cause error) R
	NoGateway(cause error) R
},
) []apiserver.ErrorReply[R] {
	return []apiserver.ErrorReply[R]{unknownCertificate(replies), refused(replies), noGateway(replies)}
}

// certificateHashLength is the length of the SHA-256 at the end of a certificate's ID.
const certificateHashLength = 64

// ownsCertificate reports whether an ID is one of a certificate of an organisation that the caller may access: it
// begins with the organisation. A gateway takes another ID for the name of a file, or for a list of IDs.
func ownsCertificate(caller caller, id string) bool {
	hash := max(len(id)-certificateHashLength, 0)
	return certificateID.MatchString(id[hash:]) && caller.canAccess(id[:hash])
}

// ListCertificates implements dashboard.Handlers.
func (s *Server) ListCertificates(
	r *request, params dashboard.ListCertificatesParams,
) dashboard.ListCertificatesReply {
	var reply dashboard.ListCertificatesReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	list := s.certificateIDs
	if params.Mode != nil {
		list = s.certificateBasics
	}
	var listed dashboard.CertificateList
	err = s.limitLists(r.Context(), func(ctx context.Context) (err error) {
		listed, err = list(ctx, caller, params)
		return err
	})
	if err != nil {
		return apiserver.ReplyError(reply, err, refused(reply), noGateway(reply))
	}
	return reply.OK(listed)
}

// certificateIDs lists the IDs of certificates.
func (s *Server) certificateIDs(
	ctx context.Context, caller caller, params dashboard.ListCertificatesParams,
) (listed dashboard.CertificateList, err error) {
	ids, err := s.gateway.Certificates(ctx, valueOf(caller.scope()))
	owned := []string{}
	for _, id := range ids {
		if ownsCertificate(caller, id) {
			owned = append(owned, id)
		}
	}
	owned, listed.Pages = pageOf(owned, s.page(params.P, firstPage))
	listed.Certs = &owned
	return listed, err
}

// certificateBasics lists descriptions of certificates.
func (s *Server) certificateBasics(
	ctx context.Context, caller caller, params dashboard.ListCertificatesParams,
) (listed dashboard.CertificateList, err error) {
	basics, err := s.gateway.CertificateBasics(ctx, valueOf(caller.scope()))
	owned := []json.RawMessage{}
	for _, certificate := range basics {
		if ownsCertificate(caller, jsondoc.String(certificate, "id")) && !isFiltered(certificate, params.Filter) {
			owned = append(owned, certificate)
		}
	}
	owned, listed.Pages = pageOf(owned, s.page(params.P, firstPage))
	listed.CertBasics = &owned
	return listed, err
}

// isFiltered reports whether a filter of private keys leaves a certificate out of a list.
func isFiltered(certificate json.RawMessage, filter *dashboard.ListCertificatesParamsFilter) bool {
	private := jsondoc.Bool(certificate, false, "has_private")
	switch valueOf(filter) {
	case dashboard.ListCertificatesParamsFilterWithPk:
		return !private
	case dashboard.ListCertificatesParamsFilterWithoutPk:
		return private
	case dashboard.ListCertificatesParamsFilterOmit:
	}
	return false
}

// toCertificateAdded returns the ID of a certificate that was stored as the API shows it.
func toCertificateAdded(added gateway.CertificateStatus) dashboard.APICertificateStatusMessage {
	return dashboard.APICertificateStatusMessage{Id: added.ID, Status: added.Status, Message: added.Message}
}

// CreateCertificates implements dashboard.Handlers.
func (s *Server) CreateCertificates(r *request) dashboard.CreateCertificatesReply {
	var reply dashboard.CreateCertificatesReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	added, err := s.gateway.AddCertificate(r.Context(), valueOf(caller.scope()), r.Body.File)
	if err != nil {
		return apiserver.ReplyError(reply, err, refused(reply), noGateway(reply))
	}
	return reply.OK(toCertificateAdded(added))
}

// GetCertificate implements dashboard.Handlers.
func (s *Server) GetCertificate(r *request, id dashboard.CertificateID) dashboard.GetCertificateReply {
	var reply dashboard.GetCertificateReplies
	certificate, err := s.certificate(r, id)
	if err != nil {
		return apiserver.ReplyError(reply, err, certificateErrors(reply)...)
	}
	return reply.OK(certificate)
}

// certificate returns the description of a certificate. It returns errForeignCertificate for an ID that is none of a
// certificate of the caller's organisation.
func (s *Server) certificate(r *request, id string) (json.RawMessage, error) {
	caller, err := callerOf(r)
	switch {
	case err != nil:
		return nil, err
	case !ownsCertificate(caller, id):
		return nil, errForeignCertificate
	}
	return s.gateway.Certificate(r.Context(), id)
}

// DeleteCertificates implements dashboard.Handlers.
func (s *Server) DeleteCertificates(r *request, id dashboard.CertificateID) dashboard.DeleteCertificatesReply {
	var reply dashboard.DeleteCertificatesReplies
	// A gateway deletes a certificate that it does not have, too.
	_, err := s.certificate(r, id)
	if err != nil {
		return apiserver.ReplyError(reply, err, certificateErrors(reply)...)
	}
	organisation := id[:len(id)-certificateHashLength]
	deleted, err := s.gateway.DeleteCertificate(r.Context(), organisation, id)
	if err != nil {
		return apiserver.ReplyError(reply, err, certificateErrors(reply)...)
	}
	return reply.OK(dashboard.ApiStatusMessage{Status: deleted.Status, Message: deleted.Message})
}
