package server

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"gatehouse/apiserver"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/gateway"
	"gatehouse/store"
)

// Bounds of the sessions that are in memory at a time while keys are listed. A session may have half a megabyte.
const (
	// detailedBytes is how many bytes of sessions of the Redis are, or one session.
	detailedBytes = 1 << 20
	// detailedCalls is how many sessions of the control API are.
	detailedCalls = 2 * concurrentSessionCalls
)

// GetKeysDetailed implements dashboard.Handlers.
func (s *Server) GetKeysDetailed(r *request, params dashboard.GetKeysDetailedParams) dashboard.GetKeysDetailedReply {
	var reply dashboard.GetKeysDetailedReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	of := keyReader{orgID: caller.scope()}
	ids, err := s.detailedKeys(r.Context(), of, valueOf(params.Q))
	if err != nil {
		return apiserver.ReplyError(reply, err, keyListErrors(reply)...)
	}
	var buf []byte
	return replyList(s, r, reply, list[gateway.StoredSession]{
		name: "keys", pages: "pages", page: store.Page{Number: firstPage, Size: 1},
		rows:  s.sessions(r.Context(), of, ids),
		count: func() (int, error) { return 1, nil }, // pages
		encode: func(key gateway.StoredSession) (json.RawMessage, error) {
			buf, err = apiserver.AppendJSON(buf[:0], toKeyData(detailedKey(key.ID, of), withoutPassword(key.Session)))
			return buf, err
		},
	})
}

// detailedKeys returns the IDs of keys that may be listed with their sessions: those that have a text in them, sorted.
func (s *Server) detailedKeys(ctx context.Context, of keyReader, text string) (ids []string, err error) {
	err = s.limitLists(ctx, func(ctx context.Context) (err error) {
		ids, err = s.gateway.Keys(ctx, valueOf(of.orgID))
		return err
	})
	ids = slices.DeleteFunc(ids, func(id string) bool { return !strings.Contains(id, text) })
	if err == nil && s.redis == nil && len(ids) > maxSessionCalls {
		err = errTooManyKeys
	}
	slices.Sort(ids)
	return ids, err
}

// detailedKey returns a key by the ID under which the gateway lists it, which is a hash unless it states an
// organisation.
func detailedKey(id string, of keyReader) gateway.Key {
	if gateway.KeyOrg(id) != "" && (of.orgID == nil || gateway.KeyOrg(id) == *of.orgID) {
		return gateway.Key{ID: id}
	}
	return gateway.Key{ID: id, Hash: id}
}

// sessions returns the sessions of keys, those of other organisations left out. Each is valid for one iteration, and
// nothing is held between two iterations.
func (s *Server) sessions(ctx context.Context, of keyReader, ids []string) iter.Seq2[gateway.StoredSession, error] {
	return func(yield func(gateway.StoredSession, error) bool) {
		var hashes *atomic.Bool // nil: the control API is not asked
		if len(ids) <= maxSessionCalls {
			hashes = new(atomic.Bool)
		}
		for len(ids) > 0 {
			sessions, rest, err := s.sessionsOf(ctx, ids, hashes)
			ids = rest
			if err != nil {
				yield(gateway.StoredSession{}, err)
				return
			}
			for _, session := range sessions {
				if of.reads(session.Session) && !yield(session, nil) {
					return
				}
			}
		}
	}
}

// sessionsOf returns sessions of keys from the gateways' Redis or, unless hashes is nil, from the control API: as many
// as may be in memory. rest are the other keys.
func (s *Server) sessionsOf(
	ctx context.Context, ids []string, hashes *atomic.Bool,
) (sessions []gateway.StoredSession, rest []string, err error) {
	err = s.limitLists(ctx, func(ctx context.Context) (err error) {
		sessions, rest, err = s.sessionsInRedis(ctx, ids)
		if err != nil && hashes != nil {
			s.logWithoutRedis(err)
			calls := min(detailedCalls, len(ids))
			rest = ids[calls:]
			sessions, err = s.requestedSessions(ctx, ids[:calls], hashes)
		}
		return err
	})
	return sessions, rest, err
}

func (s *Server) sessionsInRedis(
	ctx context.Context, ids []string,
) (sessions []gateway.StoredSession, rest []string, err error) {
	size := 0
	for session, err := range s.redis.Sessions(ctx, ids) {
		if err != nil {
			return nil, nil, err
		}
		sessions = append(sessions, session)
		if size += len(session.Session); size >= detailedBytes {
			return sessions, ids[slices.Index(ids, session.ID)+1:], nil
		}
	}
	return sessions, nil, nil
}
