package oas

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tidwall/gjson"
)

// The authentication modes in auth_configs of the classic definition.
const (
	tokenConfig         = "authToken"
	jwtConfig           = "jwt"
	basicConfig         = "basic"
	oauthConfig         = "oauth"
	externalOAuthConfig = "externalOAuth"
	hmacConfig          = "hmac"
	oidcConfig          = "oidc"
	pluginConfig        = "coprocess"
)

func authenticationRules() *setting {
	return objectOf(settings{
		"enabled":                notAt("use_keyless"),
		"stripAuthorizationData": flagAt("strip_auth_data"),
		"baseIdentityProvider":   textAt("base_identity_provided_by"),
		"certificateAuth":        enabledAt().then(certificateAuth),
		"custom":                 customAuthenticationRules(),
		"customKeyLifetime": objectOf(settings{
			"enabled": flagAt(), "value": durationAt(), "respectValidity": flagAt("session_lifetime_respects_key_expiration"),
		}).then(keyLifetime),
		"hmac": withSources(settings{
			"enabled":           flagAt("enable_signature_checking"),
			"allowedAlgorithms": textsAt("hmac_allowed_algorithms"),
			"allowedClockSkew":  numberAt("hmac_allowed_clock_skew"),
		}).then(modeWith(hmacConfig)),
		"oidc": oidcRules(),
		"protectedResourceMetadata": objectOf(settings{
			"enabled": flagAt(), "wellKnownPath": textAt(), "resource": textAt(),
			"authorizationServers": textsAt(), "scopesSupported": textsAt(),
		}),
		"security":               listAt(textsAt()),
		"securityProcessingMode": textAt(),
		"securitySchemes":        dictionaryOf(&setting{pick: schemeRules}),
	})
}

// withSources returns the rule for an authentication mode, with the rules for where a request has the credentials.
func withSources(members settings) *setting {
	for _, source := range []string{"header", "query", "cookie"} {
		members[source] = objectOf(settings{"enabled": flagAt(), "name": textAt()})
	}
	return objectOf(members)
}

// authConfig returns what the classic definition has for an authentication mode: where a request has the credentials.
// A mode whose credentials are nowhere else has no header.
func authConfig(v gjson.Result) classic {
	config := clone(templates().AuthConfig)
	header, query, cookie := get(v, "header"), get(v, "query"), get(v, "cookie")
	config["disable_header"], config["auth_header_name"] = !get(header, "enabled").Bool(), textOf(get(header, "name"))
	config["use_param"], config["param_name"] = get(query, "enabled").Bool(), textOf(get(query, "name"))
	config["use_cookie"], config["cookie_name"] = get(cookie, "enabled").Bool(), textOf(get(cookie, "name"))
	return config
}

// modeWith returns a function that writes the sources of an authentication mode.
func modeWith(name string) func(*extraction, classic, gjson.Result) {
	return func(_ *extraction, scope classic, v gjson.Result) { scope.child("auth_configs")[name] = authConfig(v) }
}

// certificateAuth writes whether keys are bound to client certificates, which is an option of the token mode.
func certificateAuth(_ *extraction, scope classic, v gjson.Result) {
	config := clone(templates().AuthConfig)
	config["use_certificate"] = get(v, "enabled").Bool()
	scope.child("auth_configs")[tokenConfig] = config
}

func keyLifetime(_ *extraction, scope classic, v gjson.Result) {
	if get(v, "enabled").Bool() {
		scope["session_lifetime"] = asWholeSeconds(get(v, "value"))
	}
}

func customAuthenticationRules() *setting {
	const check, extractor = "custom_middleware/auth_check", "custom_middleware/id_extractor"
	names := map[string]string{
		"headerName": "header_name", "formParamName": "param_name", "regexp": "regex_expression",
		"regexpMatchIndex": "regex_match_index", "xPathExp": "xpath_expression",
	}
	return withSources(settings{
		"enabled": flagAt("custom_plugin_auth_enabled"),
		"config": objectOf(settings{
			"enabled":        notAt(check + "/disabled"),
			"functionName":   textAt(check + "/name"),
			"path":           textAt(check + "/path"),
			"rawBodyOnly":    flagAt(check + "/raw_body_only"),
			"requireSession": flagAt(check + "/require_session"),
			"idExtractor": objectOf(settings{
				"enabled": notAt(extractor + "/disabled"),
				"source":  textAt(extractor + "/extract_from"),
				"with":    textAt(extractor + "/extract_with"),
				"config": objectOf(settings{
					"headerName": textAt(), "formParamName": textAt(), "regexp": textAt(),
					"regexpMatchIndex": integerAt(), "xPathExp": textAt(),
				}).then(func(e *extraction, scope classic, v gjson.Result) {
					rename("extractor_config", names)(e, scope.child("custom_middleware").child("id_extractor"), v)
				}),
			}),
		}),
	}).then(func(_ *extraction, scope classic, v gjson.Result) {
		none := authConfig(gjson.Result{})
		if config := authConfig(v); !equalLeaves(config, none) {
			scope.child("auth_configs")[pluginConfig] = config
		}
	})
}

func oidcRules() *setting {
	provider := objectOf(settings{
		"issuer":                textAt("issuer"),
		"clientToPolicyMapping": pairsAt("client_ids", "clientId", "policyId"),
	})
	providers := itemsAt("openid_options/providers", provider.members)
	return withSources(settings{
		"enabled":             flagAt("use_openid"),
		"segregateByClientId": flagAt("openid_options/segregate_by_client"),
		"providers":           providers,
		"scopes":              scopeRules("scopes/oidc"),
	}).then(modeWith(oidcConfig))
}

// scopeRules returns the rules for the policies that a token's scopes stand for. A gateway reads claims from the
// document.
func scopeRules(at string) *setting {
	return objectOf(settings{
		"claimName":            textAt(at + "/scope_claim_name"),
		"claims":               textsAt(),
		"scopeToPolicyMapping": pairsAt(at+"/scope_to_policy", "scope", "policyId"),
	})
}

// requirement is a security requirement: the names of the schemes that a request has to satisfy together.
type requirement []string

// maxRequired is how many schemes the security requirements of a document may name in all, each as often as it is
// named. The settings of a scheme are applied each time.
const maxRequired = 100

// authenticate writes how the security schemes of the document authenticate requests.
func (e *extraction) authenticate(configured gjson.Result) error {
	compliant := textOf(get(configured, "securityProcessingMode")) == "compliant"
	required, scopes := e.document.requirements()
	if len(get(e.document.Result, "components", "securitySchemes").Raw) <= len("{}") {
		required, scopes = nil, nil
	}
	var extra []requirement
	if compliant {
		extra = extraRequirements(configured)
	}
	if scopes != nil {
		e.definition["security_requirement_scopes"] = scopes
	}
	if err := limitRequirements(required, extra); err != nil {
		return err
	}
	switch {
	case compliant && len(required)+len(extra) > 0:
		e.definition["security_requirements"] = append(withoutMixed(required, extra), extra...)
		required = append(required, extra...)
	case len(required) > 1:
		e.definition["security_requirements"] = required
	}
	schemes := get(configured, "securitySchemes")
	if !compliant {
		required = required[:min(len(required), 1)] // a gateway uses the first only
		if !get(configured, "enabled").Bool() && len(schemes.Raw) <= len("{}") {
			required = nil
		}
	}
	for _, names := range required {
		e.authenticateBy(names, schemes)
	}
	return nil
}

// limitRequirements returns an error if schemes are required too often.
func limitRequirements(required, extra []requirement) error {
	for _, each := range []struct {
		requirements []requirement
		path         []string
	}{
		{required, []string{"security"}},
		{extra, []string{Extension, "server", "authentication", "security"}},
	} {
		if len(slices.Concat(each.requirements...)) > maxRequired {
			return &Error{pointerTo(each.path...), fmt.Sprintf("must name at most %d schemes in all", maxRequired)}
		}
	}
	return nil
}

func (e *extraction) authenticateBy(names requirement, schemes gjson.Result) {
	token := ""
	for _, name := range names {
		scheme := e.document.securityScheme(name)
		configured := get(schemes, name)
		switch modeOf(scheme) {
		case tokenConfig:
			// There is one token mode: of several schemes, the first that is enabled has it.
			if token == "" || get(configured, "enabled").Bool() && !get(schemes, token, "enabled").Bool() {
				token = name
			}
		case jwtConfig:
			e.writeMode(jwtConfig, name, configured)
		case basicConfig:
			e.writeMode(basicConfig, name, configured)
		case oauthConfig:
			e.writeOAuth(name, configured, get(scheme, "flows"))
		}
	}
	if token != "" {
		e.writeToken(token, get(schemes, token), e.document.securityScheme(token))
	}
}

// writeMode writes the settings of a security scheme, and its sources.
func (e *extraction) writeMode(mode, name string, configured gjson.Result) {
	config := authConfig(configured)
	config["name"] = name
	e.definition.child("auth_configs")[mode] = config
	if configured.Exists() {
		e.checked = true
		_ = e.apply(schemeModes()[mode], e.definition, configured) // has been checked
		e.checked = false
	}
}

func (e *extraction) writeToken(name string, configured, scheme gjson.Result) {
	certificate := e.definition.child("auth_configs").child(tokenConfig)["use_certificate"]
	e.definition["use_standard_auth"] = false
	e.writeMode(tokenConfig, name, configured)
	config := e.definition.child("auth_configs").child(tokenConfig)
	config["use_certificate"] = get(configured, "enableClientCertificate").Bool()
	if certificate != nil { // certificateAuth counts before what it replaces
		config["use_certificate"] = certificate
	}
	signatureOf(config, get(configured, "signatureValidation"))
	switch at := textOf(get(scheme, "name")); textOf(get(scheme, "in")) {
	case "header":
		config["auth_header_name"], config["disable_header"] = at, false
	case "query":
		config["param_name"], config["use_param"] = at, true
	case "cookie":
		config["cookie_name"], config["use_cookie"] = at, true
	}
}

func signatureOf(config classic, v gjson.Result) {
	config["validate_signature"] = get(v, "enabled").Bool()
	signature := config.child("signature")
	signature["algorithm"], signature["header"] = textOf(get(v, "algorithm")), textOf(get(v, "header"))
	signature["secret"] = textOf(get(v, "secret"))
	signature["use_param"], signature["param_name"] = get(v, "query", "enabled").Bool(), textOf(get(v, "query", "name"))
	signature["allowed_clock_skew"] = asNumber(get(v, "allowedClockSkew"))
	signature["error_code"], signature["error_message"] = asNumber(get(v, "errorCode")), textOf(get(v, "errorMessage"))
}

// accessTypes are the flows of an OAuth scheme, in the order of the classic definition's list, and their names there.
var accessTypes = []struct{ flow, name string }{
	{"authorizationCode", "authorization_code"},
	{"clientCredentials", "client_credentials"},
	{"password", "password"},
	{"implicit", "__implicit"},
}

func (e *extraction) writeOAuth(name string, configured, flows gjson.Result) {
	if !configured.Exists() || isNativeOAuth(configured) {
		return // a gateway reads the others from the document
	}
	if len(get(configured, "providers").Array()) > 0 {
		e.writeMode(externalOAuthConfig, name, configured)
		return
	}
	e.writeMode(oauthConfig, name, configured)
	types := []string{}
	if get(configured, "refreshToken").Bool() {
		types = append(types, "refresh_token")
	}
	for _, access := range accessTypes {
		if get(flows, access.flow).Exists() {
			types = append(types, access.name)
		}
	}
	e.definition.child("oauth_meta")["allowed_access_types"] = types
}

// isNativeOAuth reports whether a gateway authenticates with an OAuth scheme by the document alone, as it can since
// 5.14.
func isNativeOAuth(configured gjson.Result) bool {
	for _, name := range []string{"scopeCheck", "protectedResourceMetadata", "tokenExchange"} {
		if get(configured, name).Exists() {
			return true
		}
	}
	return false
}

// modeOf returns the authentication mode of a security scheme, and "" if a gateway has none for it.
func modeOf(scheme gjson.Result) string {
	switch kind := textOf(get(scheme, "type")); {
	case kind == "apiKey":
		return tokenConfig
	case kind == "oauth2":
		return oauthConfig
	case kind != "http":
	case textOf(get(scheme, "scheme")) == "basic":
		return basicConfig
	case textOf(get(scheme, "scheme")) == "bearer" && textOf(get(scheme, "bearerFormat")) == "JWT":
		return jwtConfig
	}
	return ""
}

// requirements returns the security requirements of the document, and them with their scopes.
func (d document) requirements() (names []requirement, scopes []map[string]json.RawMessage) {
	for _, each := range elements(get(d.Result, "security")) {
		scoped := map[string]json.RawMessage{}
		for name, list := range membersOf(each) {
			scoped[name] = json.RawMessage(list.Raw)
		}
		names = append(names, slices.AppendSeq(requirement{}, maps.Keys(scoped)))
		slices.Sort(names[len(names)-1])
		scopes = append(scopes, scoped)
	}
	return names, scopes
}

// extraRequirements returns the security requirements of the extension, which may name modes that OpenAPI does not
// have.
func extraRequirements(configured gjson.Result) (extra []requirement) {
	for _, each := range elements(get(configured, "security")) {
		names := requirement{}
		for _, name := range elements(each) {
			names = append(names, textOf(name))
		}
		extra = append(extra, names)
	}
	return extra
}

// proprietary are the modes that only the extension can require.
var proprietary = []string{"hmac", "custom", "mtls", "coprocess"}

// withoutMixed returns the requirements of one scheme less those whose scheme the extension requires together with a
// mode of its own.
func withoutMixed(required, extra []requirement) []requirement {
	mixed := map[string]bool{}
	for _, names := range extra {
		own := func(name string) bool { return slices.Contains(proprietary, name) }
		for _, name := range names {
			if slices.ContainsFunc(names, own) && !own(name) {
				mixed[name] = true
			}
		}
	}
	kept := []requirement{}
	for _, names := range required {
		if len(names) != 1 || !mixed[names[0]] {
			kept = append(kept, names)
		}
	}
	return kept
}
