package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/apiserver"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/apidef"
	"gatehouse/internal/fairqueue"
	"gatehouse/internal/gateway"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// Bounds of a list of keys. A gateway has no list by API: the sessions of the keys tell. From the gateways' Redis they
// are read in batches; without it, each is a call of the control API.
const (
	// maxSessionCalls is how many sessions are requested from the control API for one list.
	maxSessionCalls = 1000
	// concurrentSessionCalls is how many of these calls run at the same time.
	concurrentSessionCalls = 8
	// concurrentGatewayLists is how many lists are made at the same time, and gatewayListsOfOne how many of them for one
	// organisation; others wait for one to end. It bounds their memory, too: a gateway sends a list as a whole.
	concurrentGatewayLists = 4
	gatewayListsOfOne      = 2
	// gatewayListTimeout bounds making a list, so that a gateway that does not answer blocks other lists no longer.
	gatewayListTimeout = 30 * time.Second
)

// errTooManyKeys is returned when a list would take more than maxSessionCalls.
var errTooManyKeys = fmt.Errorf("more than %d keys can only be listed from the gateways' Redis", maxSessionCalls)

func tooManyKeys[R any](replies interface {
	Gateway(message string, cause error) R
},
) apiserver.ErrorReply[R] {
	return apiserver.On(func(cause error) R { return replies.Gateway(cause.Error(), cause) }, errTooManyKeys)
}

// ListApiKeys implements dashboard.Handlers.
func (s *Server) ListApiKeys(r *request, id admin.APIID) dashboard.ListApiKeysReply {
	var reply dashboard.ListApiKeysReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	of := keyReader{orgID: caller.scope()}
	if id != noAPI && id != defaultAPI {
		api, err := s.store.API(r.Context(), caller.ref(id))
		if err != nil {
			return apiserver.ReplyError(reply, err, notFound(reply))
		}
		orgID := jsondoc.String(api.Document, "api_definition", "org_id")
		of = keyReader{orgID: &orgID, apiID: api.ID}
	}
	keys, err := s.keys(r.Context(), of)
	if err != nil {
		return apiserver.ReplyError(reply, err, keyListErrors(reply)...)
	}
	return reply.OK(toKeys(keys))
}

// ListKeys implements dashboard.Handlers.
func (s *Server) ListKeys(r *request, params dashboard.ListKeysParams) dashboard.ListKeysReply {
	var reply dashboard.ListKeysReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	keys, err := s.keys(r.Context(), keyReader{orgID: caller.scope()})
	if err != nil {
		return apiserver.ReplyError(reply, err, keyListErrors(reply)...)
	}
	onPage, pages := pageOf(keys, s.page(params.P, firstPage))
	return reply.OK(admin.Keys{Data: &admin.AllKeys{Keys: &onPage}, Pages: &pages})
}

// pageOf returns a page of a list that is in memory, and the number of its pages.
func pageOf[T any](all []T, page store.Page) (onPage []T, pages int) {
	if page.Number < 1 {
		return all, 1
	}
	start := len(all)
	if page.Number <= page.Pages(len(all)) {
		start = (page.Number - 1) * page.Size
	}
	return all[start:min(start+page.Size, len(all))], page.Pages(len(all))
}

// keyListErrors are the replies to errors of a list of keys.
func keyListErrors[R any](replies interface {
	NotFound(cause error) R
	Gateway(message string, cause error) R
	NoGateway(cause error) R
},
) []apiserver.ErrorReply[R] {
	return []apiserver.ErrorReply[R]{unknownKey(replies), tooManyKeys(replies), refused(replies), noGateway(replies)}
}

// listedKey is a key of the organisation whose keys are listed.
type listedKey struct {
	id string
	// granted reports whether the session grants access to the API. One of the policies may decide otherwise.
	granted  bool
	policies []string
}

// keyReader reads the sessions of an organisation's keys for a list of keys.
type keyReader struct {
	orgID *string // nil: of every organisation
	apiID string  // "": of every API
}

// keys returns the IDs of the keys that are to be listed, sorted.
func (s *Server) keys(ctx context.Context, of keyReader) (listed []string, err error) {
	err = s.limitLists(ctx, func(ctx context.Context) error {
		ids, err := s.gateway.Keys(ctx, valueOf(of.orgID))
		if err != nil {
			return err
		}
		listed, ids = of.known(ids)
		keys, err := s.storedKeys(ctx, ids, of)
		if err != nil {
			s.logWithoutRedis(err)
			keys, err = s.requestedKeys(ctx, ids, of)
		}
		for _, key := range keys {
			if key.granted {
				listed = append(listed, key.id)
			}
		}
		slices.Sort(listed)
		return err
	})
	return listed, err
}

func newGatewayLists() *fairqueue.Queue {
	return fairqueue.New(concurrentGatewayLists, gatewayListsOfOne)
}

// limitLists calls list when fewer lists are being made than may be, in all and for the organisation of the caller.
func (s *Server) limitLists(ctx context.Context, list func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, gatewayListTimeout)
	defer cancel()
	release, err := s.gatewayLists.Acquire(ctx, 1)
	if err != nil {
		return err
	}
	defer release()
	if err := apiserver.AdmitWaiting(ctx); err != nil {
		return err
	}
	return list(ctx)
}

// logWithoutRedis logs why sessions are not read from the Redis, unless none is configured.
func (s *Server) logWithoutRedis(err error) {
	if !errors.Is(err, gateway.ErrNotConfigured) {
		s.log.Warn("read sessions from Redis failed, requesting each from the gateway", "err", err)
	}
}

// known separates the keys that are to be listed, as their IDs say, from those whose sessions have to be read.
func (l keyReader) known(ids []string) (listed, unknown []string) {
	listed = []string{}
	for _, id := range ids {
		stated := gateway.KeyOrg(id)
		switch {
		case l.apiID != "":
			unknown = append(unknown, id)
		case l.orgID == nil, stated == *l.orgID:
			listed = append(listed, id)
		default: // a hash, or a key of another organisation
			unknown = append(unknown, id)
		}
	}
	return listed, unknown
}

// reads reports whether a session is one of the organisation's.
func (l keyReader) reads(session json.RawMessage) bool {
	return l.orgID == nil || jsondoc.String(session, "org_id") == *l.orgID
}

// key returns what a session says about a key. ok is false for a key of another organisation.
func (l keyReader) key(id string, session json.RawMessage) (key listedKey, ok bool) {
	if !l.reads(session) {
		return listedKey{}, false
	}
	if l.apiID == "" {
		return listedKey{id: id, granted: true}, true
	}
	refs, err := apidef.ReadSessionReferences(session)
	return listedKey{id, slices.Contains(refs.APIIDs, l.apiID), refs.PolicyIDs}, err == nil
}

// storedKeys reads the sessions from the Redis. They are as gateways stored them last: policies may have changed since.
func (s *Server) storedKeys(ctx context.Context, ids []string, read keyReader) (keys []listedKey, err error) {
	var policies []string
	for stored, err := range s.redis.Sessions(ctx, ids) {
		if err != nil {
			return nil, err
		}
		if key, ok := read.key(stored.ID, stored.Session); ok {
			keys, policies = append(keys, key), append(policies, key.policies...)
		}
	}
	if policies == nil {
		return keys, nil
	}
	rows, err := s.store.APIRights(ctx, valueOf(read.orgID), policies, read.apiID)
	rights := policyRights(rows, read.apiID)
	for i := range keys {
		keys[i].applyPolicies(rights)
	}
	return keys, err
}

// policyRights returns, by ID, whether a policy grants access to an API. A policy that decides about quotas or limits
// only is left out.
func policyRights(policies []store.KeyPolicy, apiID string) map[string]bool {
	rights := map[string]bool{}
	for _, policy := range policies {
		partition := func(name string) bool { return jsondoc.Bool(policy.Rights, false, "partitions", name) }
		limitsOnly := partition("quota") || partition("rate_limit") || partition("complexity")
		if partition("acl") || !limitsOnly {
			_, rights[policy.ID] = jsondoc.Get(policy.Rights, "access_rights", apiID)
		}
	}
	return rights
}

// applyPolicies has the policies of a key, if any of them decides about access, replace what its session grants.
func (k *listedKey) applyPolicies(rights map[string]bool) {
	decided, granted := false, false
	for _, id := range k.policies {
		grants, decides := rights[id]
		decided, granted = decided || decides, granted || grants
	}
	if decided {
		k.granted = granted
	}
}

// requestedKeys requests each session from the control API, which applies the policies.
func (s *Server) requestedKeys(ctx context.Context, ids []string, read keyReader) (keys []listedKey, err error) {
	if len(ids) > maxSessionCalls {
		return nil, errTooManyKeys
	}
	found := make([]listedKey, len(ids))
	err = s.requestSessions(ctx, ids, new(atomic.Bool), func(i int, session json.RawMessage) {
		if key, ok := read.key(ids[i], session); ok {
			found[i] = key
		}
	})
	return slices.DeleteFunc(found, func(key listedKey) bool { return key.id == "" }), err
}

// requestedSessions requests sessions as requestSessions does.
func (s *Server) requestedSessions(
	ctx context.Context, ids []string, hashes *atomic.Bool,
) ([]gateway.StoredSession, error) {
	sessions := make([]gateway.StoredSession, len(ids))
	err := s.requestSessions(ctx, ids, hashes, func(i int, session json.RawMessage) {
		sessions[i] = gateway.StoredSession{ID: ids[i], Session: session}
	})
	return slices.DeleteFunc(sessions, func(s gateway.StoredSession) bool { return s.Session == nil }), err
}

// requestSessions requests sessions from the control API, several at the same time, and calls got for each, with its
// place, except for those of keys that have expired. hashes is set once the gateway is known to hash keys.
func (s *Server) requestSessions(
	ctx context.Context, ids []string, hashes *atomic.Bool, got func(i int, session json.RawMessage),
) error {
	requests, ctx := errgroup.WithContext(ctx)
	requests.SetLimit(concurrentSessionCalls)
	for i, id := range ids {
		requests.Go(func() error {
			session, err := s.session(ctx, id, hashes)
			if session != nil {
				got(i, session)
			}
			return err
		})
	}
	return requests.Wait()
}

// session returns the session of a listed key, which is a hash if the gateway hashes keys; hashes is set once one was.
// It returns nil for a key that has expired since it was listed.
func (s *Server) session(ctx context.Context, id string, hashes *atomic.Bool) (json.RawMessage, error) {
	if !hashes.Load() {
		session, err := s.gateway.Session(ctx, gateway.KeyRef{ID: id})
		if !isUnknownKey(err) {
			return session, err
		}
	}
	session, err := s.gateway.Session(ctx, gateway.KeyRef{ID: id, Hashed: true})
	if _, refused := errors.AsType[*gateway.Refused](err); refused {
		return nil, nil
	}
	if err == nil {
		hashes.Store(true)
	}
	return session, err
}
