package server

import (
	"context"
	"encoding/binary"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/internal/authlimit"
)

// checkPolicy returns an apiserver.MalformedError with all rules of the configured policy that a password, which is at
// a JSON pointer of the body, does not satisfy.
func (s *Server) checkPolicy(path, password string) error {
	policy := s.security.Passwords
	policy.MinLength = max(policy.MinLength, minPassword)
	var problems []contract.Problem
	for _, reason := range policy.Problems(password) {
		problems = append(problems, contract.Problem{Path: path, Reason: reason})
	}
	if problems == nil {
		return nil
	}
	return apiserver.Malformed(nil, problems...)
}

// limitHistory is checkHistory for a caller who has not had too many passwords refused lately: each takes as long as
// hashing all of the user's last passwords. Else it returns an *authlimit.TooManyError.
func (s *Server) limitHistory(ctx context.Context, caller caller, userID, password string) error {
	if s.security.PasswordHistory == 0 {
		return nil
	}
	var each authlimit.Credential // the same password again takes as long
	binary.BigEndian.PutUint64(each[:], s.historyChecked.Add(1))
	return s.historyChecks.Do(ctx, caller.user.ID, each, func() error { return s.checkHistory(ctx, userID, password) })
}

// checkHistory returns an apiserver.MalformedError if a password is one of the user's last ones, of which the
// configuration says how many count.
func (s *Server) checkHistory(ctx context.Context, userID, password string) error {
	hashes, err := s.store.LastPasswords(ctx, userID)
	if err != nil {
		return err
	}
	hashes = hashes[:min(len(hashes), s.security.PasswordHistory)]
	used, err := s.passwords.MatchesAny(ctx, userID, password, hashes)
	if err == nil && used {
		err = apiserver.MalformedAt("/new_password", "is one of the user's last passwords", nil)
	}
	return orTooMany(err)
}
