package server

import (
	"errors"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/store"
)

// ExportPolicies implements admin.Handlers.
func (s *Server) ExportPolicies(r *request, params admin.ExportPoliciesParams) admin.ExportPoliciesReply {
	filter := store.PolicyFilter{OrgID: params.OrgId, Page: s.page(params.P, everything)}
	return replyList(s, r, admin.ExportPoliciesReplies{}, s.policyList(r, filter))
}

// RemovePolicy implements admin.Handlers.
func (s *Server) RemovePolicy(r *request, policyID admin.PolicyID) admin.RemovePolicyReply {
	var reply admin.RemovePolicyReplies
	if err := s.store.DeletePolicy(r.Context(), store.Ref{ID: policyID}); err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK()
}

// GetPolicies implements dashboard.Handlers.
func (s *Server) GetPolicies(r *request, params dashboard.GetPoliciesParams) dashboard.GetPoliciesReply {
	var reply dashboard.GetPoliciesReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	filter := store.PolicyFilter{
		OrgID: caller.scope(), Active: params.Active, Text: valueOf(params.Q), Page: s.page(params.P, firstPage),
	}
	return replyList(s, r, reply, s.policyList(r, filter))
}

// GetPolicy implements dashboard.Handlers.
func (s *Server) GetPolicy(r *request, policyID admin.PolicyID) dashboard.GetPolicyReply {
	var reply dashboard.GetPolicyReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	row, err := s.store.Policy(r.Context(), caller.ref(policyID))
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	r.setETag(row.Document)
	return reply.OK(row.Document)
}

// PostPolicies implements dashboard.Handlers.
func (s *Server) PostPolicies(r *request) dashboard.PostPoliciesReply {
	var reply dashboard.PostPoliciesReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	var policy store.PolicyParams
	err = s.documents.store(r.Context(), len(r.Body.JSON), func() (err error) {
		policy, err = s.createPolicy(r, caller)
		return err
	})
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply), foreign(reply), conflict(reply),
			unknownOrganisation(reply, policy.OrgID))
	}
	return reply.OK(policy.ID)
}

// createPolicy stores the policy in the body of a request. It makes another ID if that which it has made is taken.
func (s *Server) createPolicy(r *request, caller caller) (policy store.PolicyParams, err error) {
	for range policyIDTries {
		if policy, err = s.newPolicy(caller, r.Body.JSON); err != nil {
			return policy, err
		}
		err = s.store.CreatePolicy(r.Context(), policy)
		if !errors.Is(err, store.ErrConflict) || sentPolicyID(r.Body.JSON) != "" {
			break
		}
	}
	return policy, orOverQuota(err)
}

// policyIDTries is how many IDs are made for a policy. More than one is taken only if IDs can be predicted. A policy
// whose explicit ID is taken is stored as often in vain.
const policyIDTries = 2

// PutPolicies implements dashboard.Handlers.
func (s *Server) PutPolicies(
	r *request, policyID admin.PolicyID, params dashboard.PutPoliciesParams,
) dashboard.PutPoliciesReply {
	var reply dashboard.PutPoliciesReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	replaced := func(stored store.Policy) (store.PolicyParams, error) {
		if !matches(params.IfMatch, stored.Document) {
			return store.PolicyParams{}, errChanged
		}
		policy, err := s.replacedPolicy(stored, r.Body.JSON)
		r.noteID(stored.ExplicitID, policy.ExplicitID)
		return policy, err
	}
	err = s.documents.store(r.Context(), len(r.Body.JSON), func() error {
		return orOverQuota(s.store.EditPolicy(r.Context(), caller.ref(policyID), replaced))
	})
	if err != nil {
		return apiserver.ReplyError(reply, err, changed(reply), malformed(reply), foreign(reply),
			notFound(reply), conflict(reply))
	}
	return reply.OK()
}

// DeletePolicy implements dashboard.Handlers.
func (s *Server) DeletePolicy(r *request, policyID admin.PolicyID) dashboard.DeletePolicyReply {
	var reply dashboard.DeletePolicyReplies
	caller, err := callerOf(r)
	if err == nil {
		err = s.store.DeletePolicy(r.Context(), caller.ref(policyID))
	}
	if err != nil {
		return apiserver.ReplyError(reply, err, notFound(reply))
	}
	return reply.OK()
}

// foreign is the reply to a policy that grants access to an API of another organisation.
func foreign[R any](replies interface{ NotOwned(cause error) R }) apiserver.ErrorReply[R] {
	return apiserver.On(replies.NotOwned, store.ErrForeign)
}

func (s *Server) policyList(r *request, filter store.PolicyFilter) list[store.Row] {
	ctx := r.Context()
	return list[store.Row]{
		name: "Data", pages: "Pages", page: filter.Page, encode: stored, rows: s.store.Policies(ctx, filter),
		count: func() (int, error) { return s.store.CountPolicies(ctx, filter) },
	}
}
