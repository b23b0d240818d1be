package apidef

import (
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse/contract"
	"gatehouse/internal/jsondoc"
)

// SessionReferences is what a session refers to. Gateways check hardly any of it: a key opens every API that its
// session or one of its policies names, of whatever organisation (docs/behaviour.md#api-keys).
//
// It has what any decoder may read: if a member occurs more than once, or in another spelling, all occurrences count.
type SessionReferences struct {
	OrgIDs    []string // org_id, without ""
	APIIDs    []string // access_rights: the names of its members, and their api_id
	PolicyIDs []string // apply_policies and apply_policy_id, without ""
	// Certificates are certificate, rsa_certificate_id and mtls_static_certificate_bindings, without "".
	Certificates []string
	// OAuthClients and OAuthTokens are oauth_client_id and oauth_keys, without "". Gateways set them.
	OAuthClients, OAuthTokens []string
	// EmbedsPolicies reports whether meta_data has policies, which a gateway applies instead of stored ones.
	EmbedsPolicies bool
	// RightsOf are the policies whose access rights the key has, because a gateway reads none in the session; nil if it
	// reads some. If these policies have none either, the key opens every API of gateways that allow such keys.
	RightsOf []string
	// Unrestricted reports whether a gateway reads neither access rights nor policies: the key opens every API.
	Unrestricted bool
	// Ambiguous are members that a decoder of Go reads, and others may read otherwise: misspelt or repeated ones.
	Ambiguous []Problem
}

// sessionReaders read the members of a session that refer to something, by their names.
var sessionReaders = map[string]func(*SessionReferences, json.RawMessage) error{
	"org_id":          func(r *SessionReferences, v json.RawMessage) error { return addString(&r.OrgIDs, v) },
	"access_rights":   (*SessionReferences).addRights,
	"apply_policies":  func(r *SessionReferences, v json.RawMessage) error { return addStrings(&r.PolicyIDs, v) },
	"apply_policy_id": func(r *SessionReferences, v json.RawMessage) error { return addString(&r.PolicyIDs, v) },
	"meta_data":       (*SessionReferences).addMetaData,
	"certificate":     func(r *SessionReferences, v json.RawMessage) error { return addString(&r.Certificates, v) },
	"rsa_certificate_id": func(r *SessionReferences, v json.RawMessage) error {
		return addString(&r.Certificates, v)
	},
	"mtls_static_certificate_bindings": func(r *SessionReferences, v json.RawMessage) error {
		return addStrings(&r.Certificates, v)
	},
	"oauth_client_id": func(r *SessionReferences, v json.RawMessage) error { return addString(&r.OAuthClients, v) },
	"oauth_keys":      (*SessionReferences).addOAuthKeys,
}

// ReadSessionReferences returns what a session refers to, which is nothing for nil. It returns an error for a session
// that a gateway could not decode.
func ReadSessionReferences(session json.RawMessage) (SessionReferences, error) {
	var refs SessionReferences
	if session == nil {
		return refs, nil
	}
	seen := map[string]bool{}
	for _, m := range jsondoc.Members(session) {
		name, known := sessionMember(m.Name)
		if !known {
			continue
		}
		switch {
		case m.Name != name:
			refs.Ambiguous = append(refs.Ambiguous, problemAt(m.Name, "must be written "+name))
		case seen[name]:
			refs.Ambiguous = append(refs.Ambiguous, problemAt(m.Name, "occurs more than once"))
		}
		seen[name] = true
		if err := sessionReaders[name](&refs, m.Value); err != nil {
			return refs, fmt.Errorf("%s: %w", name, err)
		}
	}
	var read struct { // as a gateway reads it
		AccessRights  map[string]json.RawMessage `json:"access_rights"`
		ApplyPolicies []string                   `json:"apply_policies"`
		ApplyPolicyID string                     `json:"apply_policy_id"`
	}
	if err := json.Unmarshal(session, &read); err != nil || len(read.AccessRights) > 0 {
		return refs, err
	}
	switch {
	case len(read.ApplyPolicies) > 0:
		refs.RightsOf = read.ApplyPolicies
	case read.ApplyPolicyID != "":
		refs.RightsOf = []string{read.ApplyPolicyID}
	default:
		refs.Unrestricted = true
	}
	return refs, nil
}

// GrantsAccess reports whether a policy gives its keys access rights. A policy without any, and one that is partitioned
// and whose partitions do not include them, leaves those of the session as they are. The list of access rights counts
// like the map that gateways read: a policy that has only the list is completed for them.
func GrantsAccess(policy json.RawMessage) bool {
	var read struct { // as a gateway reads it
		AccessRights map[string]json.RawMessage `json:"access_rights"`
		List         []json.RawMessage          `json:"access_rights_array"`
		Partitions   struct {
			Quota      bool `json:"quota"`
			RateLimit  bool `json:"rate_limit"`
			Complexity bool `json:"complexity"`
			ACL        bool `json:"acl"`
		} `json:"partitions"`
	}
	if json.Unmarshal(policy, &read) != nil || len(read.AccessRights) == 0 && len(read.List) == 0 {
		return false
	}
	parts := read.Partitions
	return parts.ACL || !parts.Quota && !parts.RateLimit && !parts.Complexity
}

// sessionMember returns the name of the member that a decoder of Go takes a name for: it ignores case, and takes ſ for
// s and the Kelvin sign for k.
func sessionMember(name string) (member string, known bool) {
	if sessionReaders[name] != nil {
		return name, true
	}
	for member := range sessionReaders {
		if strings.EqualFold(member, name) {
			return member, true
		}
	}
	return "", false
}

func problemAt(member, reason string) Problem {
	return Problem{Path: contract.Pointer(member), Reason: reason}
}

func (r *SessionReferences) addRights(rights json.RawMessage) error {
	for _, right := range jsondoc.Members(rights) {
		r.APIIDs = append(r.APIIDs, right.Name)
		for _, m := range jsondoc.Members(right.Value) {
			if strings.EqualFold(m.Name, "api_id") {
				if err := addString(&r.APIIDs, m.Value); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *SessionReferences) addMetaData(data json.RawMessage) error {
	_, embeds := EmbeddedPolicies(data)
	r.EmbedsPolicies = r.EmbedsPolicies || embeds
	return nil
}

func (r *SessionReferences) addOAuthKeys(keys json.RawMessage) error {
	for _, m := range jsondoc.Members(keys) {
		r.OAuthClients = append(r.OAuthClients, m.Name)
		if err := addString(&r.OAuthTokens, m.Value); err != nil {
			return err
		}
	}
	return nil
}

// addString appends a string unless it is "" or null.
func addString(to *[]string, value json.RawMessage) error {
	var text string
	err := json.Unmarshal(value, &text)
	if text != "" {
		*to = append(*to, text)
	}
	return err
}

// addStrings appends the non-empty strings of a list.
func addStrings(to *[]string, value json.RawMessage) error {
	var texts []string
	err := json.Unmarshal(value, &texts)
	*to = append(*to, texts...)
	return err
}

// GrantedAPIs returns the IDs of the APIs that a policy grants access to: the names of the members of access_rights,
// and their api_id. It has what any decoder may read, whatever the case of the members' names.
func GrantedAPIs(policy json.RawMessage) []string {
	var refs SessionReferences
	for _, m := range jsondoc.Members(policy) {
		if strings.EqualFold(m.Name, accessRights) {
			_ = refs.addRights(m.Value) // the policy is valid
		}
	}
	return refs.APIIDs
}
