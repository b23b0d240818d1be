package apidef

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestSessionReferences(t *testing.T) {
	t.Parallel()
	for session, want := range map[string]SessionReferences{
		`{}`:                       {Unrestricted: true},
		`{"apply_policies":null}`:  {Unrestricted: true},
		`{"apply_policies":["p"]}`: {PolicyIDs: []string{"p"}, RightsOf: []string{"p"}},
		`{"apply_policy_id":"p","org_id":"o","rate":1}`: {
			OrgIDs: []string{"o"}, PolicyIDs: []string{"p"}, RightsOf: []string{"p"},
		},
		`{"apply_policies":["p"],"apply_policy_id":"q","access_rights":{}}`: {
			PolicyIDs: []string{"p", "q"}, RightsOf: []string{"p"},
		},
		`{"apply_policies":["p"],"access_rights":{"a":{}}}`:            {APIIDs: []string{"a"}, PolicyIDs: []string{"p"}},
		`{"access_rights":{"a":null,"b":{"api_id":"c","API_ID":"d"}}}`: {APIIDs: []string{"a", "b", "c", "d"}},
		`{"apply_policies":["p"],"meta_data":{"policies":[]}}`:         {PolicyIDs: []string{"p"}, RightsOf: []string{"p"}, EmbedsPolicies: true},
		`{"apply_policies":["p"],"meta_data":{"policies":null,"a":1}}`: {PolicyIDs: []string{"p"}, RightsOf: []string{"p"}},
		`{"certificate":"c","rsa_certificate_id":"r","mtls_static_certificate_bindings":["m"]}`: {
			Certificates: []string{"c", "r", "m"}, Unrestricted: true,
		},
		`{"oauth_client_id":"c","oauth_keys":{"d":"t"}}`: {
			OAuthClients: []string{"c", "d"}, OAuthTokens: []string{"t"}, Unrestricted: true,
		},
		`{"Apply_Policies":["p"]}`: {
			PolicyIDs: []string{"p"}, RightsOf: []string{"p"},
			Ambiguous: []Problem{{Path: "/Apply_Policies", Reason: "must be written apply_policies"}},
		},
		`{"apply_policies":["p"],"apply_policies":[]}`: {
			PolicyIDs: []string{"p"}, Unrestricted: true,
			Ambiguous: []Problem{{Path: "/apply_policies", Reason: "occurs more than once"}},
		},
	} {
		got, err := ReadSessionReferences(json.RawMessage(session))
		require.NoError(t, err, session)
		require.Equal(t, want, got, session)
	}
	for _, session := range []string{`[]`, `{"apply_policies":"p"}`, `{"apply_policies":[1]}`, `{"access_rights":[]}`, `{"ORG_ID":1}`} {
		_, err := ReadSessionReferences(json.RawMessage(session))
		require.Error(t, err, session)
	}
}

func TestGrantsAccess(t *testing.T) {
	t.Parallel()
	const rights = `"access_rights":{"a":{}}`
	for policy, want := range map[string]bool{
		`{` + rights + `}`:                                              true,
		`{` + rights + `,"partitions":{}}`:                              true,
		`{` + rights + `,"partitions":{"per_api":true}}`:                true,
		`{` + rights + `,"partitions":{"acl":true,"quota":true}}`:       true,
		`{"access_rights_array":[{"api_id":"a"}]}`:                      true,
		`{"Access_Rights":{"a":{}}}`:                                    true,
		`{}`:                                                            false,
		`{"access_rights":{}}`:                                          false,
		`{"access_rights":null,"access_rights_array":[]}`:               false,
		`{` + rights + `,"access_rights":{}}`:                           true, // a decoder of Go merges them
		`{` + rights + `,"partitions":{"quota":true}}`:                  false,
		`{` + rights + `,"partitions":{"rate_limit":true}}`:             false,
		`{` + rights + `,"partitions":{"complexity":true,"acl":false}}`: false,
		`[]`: false,
	} {
		require.Equal(t, want, GrantsAccess(json.RawMessage(policy)), policy)
	}
}

// decodedSession is how a gateway decodes what a session refers to.
type decodedSession struct {
	OrgID        string `json:"org_id"`
	AccessRights map[string]struct {
		APIID string `json:"api_id"`
	} `json:"access_rights"`
	ApplyPolicyID     string            `json:"apply_policy_id"`
	ApplyPolicies     []string          `json:"apply_policies"`
	MetaData          map[string]any    `json:"meta_data"`
	Certificate       string            `json:"certificate"`
	RSACertificateID  string            `json:"rsa_certificate_id"`
	StaticCertificate []string          `json:"mtls_static_certificate_bindings"`
	OAuthClientID     string            `json:"oauth_client_id"`
	OAuthKeys         map[string]string `json:"oauth_keys"`
}

// FuzzSessionReferences compares what is found in a session with what a gateway decodes of it: whatever a gateway
// decodes must have been found.
func FuzzSessionReferences(f *testing.F) {
	names := []string{
		"org_id", "access_rights", "apply_policies", "apply_policy_id", "meta_data", "certificate", "rsa_certificate_id",
		"mtls_static_certificate_bindings", "oauth_client_id", "oauth_keys",
	}
	values := []string{
		`"x"`, `["x"]`, `{"x":{"api_id":"y"}}`, `{"x":{"API_ID":"\ud83d\u0061"}}`, `{"\u0061\ud83d\u0061":{}}`,
		`{"policies":[{}]}`, `{"polici\u0065s":[]}`, `{"x":"y"}`, `null`, `""`, `[]`, `{}`,
	}
	spellings := []func(string) string{
		func(s string) string { return s }, strings.ToUpper,
		func(s string) string { return strings.ReplaceAll(s, "s", "ſ") },
		func(s string) string { return strings.ReplaceAll(s, "k", "\u212a") },
		func(s string) string { return strings.ReplaceAll(s, "_", `\u005f`) },
		func(s string) string { return strings.ReplaceAll(s, "o", `\u004F`) },
	}
	for _, name := range names {
		for _, value := range values {
			for _, spell := range spellings {
				f.Add(`{"` + name + `":null,"` + spell(name) + `":` + value + `}`)
				f.Add(`{"` + spell(name) + `":` + value + `,"` + name + `":null}`)
			}
		}
	}
	f.Fuzz(func(t *testing.T, session string) {
		var decoded decodedSession
		if !utf8.ValidString(session) || json.Unmarshal([]byte(session), &decoded) != nil {
			return // bodies that are not UTF-8 are refused before
		}
		refs, err := ReadSessionReferences(json.RawMessage(session))
		if err != nil {
			return // refused
		}
		found := func(all []string, wanted ...string) {
			t.Helper()
			for _, id := range wanted {
				if id != "" && !slices.Contains(all, id) {
					t.Errorf("%s: a gateway reads %q, which was not found", session, id)
				}
			}
		}
		found(refs.OrgIDs, decoded.OrgID)
		found(refs.PolicyIDs, append(decoded.ApplyPolicies, decoded.ApplyPolicyID)...)
		found(refs.Certificates, append(decoded.StaticCertificate, decoded.Certificate, decoded.RSACertificateID)...)
		found(refs.OAuthClients, decoded.OAuthClientID)
		for id, right := range decoded.AccessRights {
			found(refs.APIIDs, id, right.APIID)
		}
		for client, token := range decoded.OAuthKeys {
			found(refs.OAuthClients, client)
			found(refs.OAuthTokens, token)
		}
		if _, embedded := decoded.MetaData["policies"].([]any); embedded && !refs.EmbedsPolicies {
			t.Errorf("%s: a gateway reads policies, which were not found", session)
		}
		restricted := len(decoded.AccessRights) > 0 || len(decoded.ApplyPolicies) > 0 || decoded.ApplyPolicyID != ""
		if restricted == refs.Unrestricted {
			t.Errorf("%s: unrestricted is %t", session, refs.Unrestricted)
		}
	})
}
