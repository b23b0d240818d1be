package conformance

import (
	"maps"
	"slices"
	"strings"
)

// setCredential selects the credential of a request that has not been made yet: four of five requests have a valid one.
// What it returns, if anything, has to be done to the request when it is made.
func (s *Sandbox) setCredential(g *fuzzer, generated *GeneratedRequest) (swap func(*request)) {
	generated.call.credential = ""
	defined := s.runner.cfg.Suite.credentials[generated.Operation.Scheme]
	if defined == nil {
		return nil
	}
	if defined.value != "" {
		s.setCaller(g, generated, defined.value)
	}
	if g.IntN(5) > 0 {
		return nil
	}
	generated.caller, generated.Refused = nil, true
	var how string
	switch g.IntN(4) {
	case 0:
		generated.call.credential, how = credentialNone, "without a credential"
	case 1:
		generated.call.credential, how = credentialWrong, "with a wrong credential"
	case 2:
		swap, how = s.movedCredential(g, generated.Operation), "with the credential in the header of another scheme"
	default:
		swap, how = s.otherCredential(g, generated.Operation), "with the credential of another scheme"
	}
	generated.What += ", " + how
	return swap
}

// setCaller selects the party that sends a request: the owner of what it is about, or, for one of three requests,
// another one, which puts some of its own values in their place. value names the credential.
func (s *Sandbox) setCaller(g *fuzzer, generated *GeneratedRequest, value string) {
	generated.caller = generated.owner
	bound := generated.story.bound
	if g.IntN(3) == 0 {
		generated.caller = s.parties[g.IntN(len(s.parties))]
		generated.What += ", by another party"
		own := generated.caller.story.bound
		for _, name := range slices.Sorted(maps.Keys(own)) {
			if g.IntN(3) == 0 {
				bound[name] = own[name]
			}
		}
	}
	bound[value] = generated.caller.story.bound[value]
	generated.Refused = generated.caller.Refused && !generated.caller.changed
}

// movedCredential returns a change of a request that moves its credential to the header of another scheme.
func (s *Sandbox) movedCredential(g *fuzzer, op *Operation) func(*request) {
	headers := map[string]bool{}
	for _, other := range s.runner.cfg.Suite.Spec.Operations {
		headers[other.CredentialHeader] = true
	}
	delete(headers, "")
	delete(headers, op.CredentialHeader)
	names := slices.Sorted(maps.Keys(headers))
	if len(names) == 0 {
		return func(r *request) { r.header.Del(op.CredentialHeader) }
	}
	name := names[g.IntN(len(names))]
	return func(r *request) {
		r.header.Set(name, r.header.Get(op.CredentialHeader))
		r.header.Del(op.CredentialHeader)
	}
}

// otherCredential returns a change of a request that sends the credential of another scheme in the header of the
// operation's own. Of the parties, only the first one's is sent: servers may limit how many wrong values they compare.
func (s *Sandbox) otherCredential(g *fuzzer, op *Operation) func(*request) {
	suite := s.runner.cfg.Suite
	secrets := map[string]string{} // by the names of their variables
	for scheme, defined := range suite.credentials {
		switch {
		case scheme == op.Scheme:
		case defined.value != "":
			secrets[strings.ToUpper(defined.value)] = s.parties[0].story.bound[defined.value]
		default:
			secrets[defined.variable] = s.target.Secrets[scheme]
		}
	}
	maps.DeleteFunc(secrets, func(_, secret string) bool { return secret == "" })
	variables := slices.Sorted(maps.Keys(secrets))
	if len(variables) == 0 {
		return func(r *request) { r.header.Del(op.CredentialHeader) }
	}
	variable := variables[g.IntN(len(variables))]
	return func(r *request) {
		value := secrets[variable]
		if r.shown == nil { // it is the one that is shown
			value = marked(variable)
		}
		r.header.Set(op.CredentialHeader, value)
	}
}
