package oas

import (
	"maps"
	"sync"

	"github.com/tidwall/gjson"
)

// schemeModes returns the rules for what the extension says of a security scheme, by the authentication mode of the
// scheme. They apply to the classic definition of the API.
var schemeModes = sync.OnceValue(func() map[string]*setting {
	skews := func(at string) settings {
		return settings{
			"issuedAtValidationSkew":  naturalAt(at + "issued_at_validation_skew"),
			"notBeforeValidationSkew": naturalAt(at + "not_before_validation_skew"),
			"expiresAtValidationSkew": naturalAt(at + "expires_at_validation_skew"),
		}
	}
	modes := map[string]*setting{
		tokenConfig: withSources(settings{
			"enabled": flagAt("use_standard_auth"), "enableClientCertificate": flagAt(),
			"signatureValidation": objectOf(settings{
				"enabled": flagAt(), "algorithm": textAt(), "header": textAt(), "secret": textAt(),
				"query":            objectOf(settings{"enabled": flagAt(), "name": textAt()}),
				"allowedClockSkew": integerAt(), "errorCode": integerAt(), "errorMessage": textAt(),
			}),
		}),
		basicConfig: withSources(settings{
			"enabled":        flagAt("use_basic_auth"),
			"disableCaching": flagAt("basic_auth/disable_caching"),
			"cacheTTL":       integerAt("basic_auth/cache_ttl"),
			"extractCredentialsFromBody": objectOf(settings{
				"enabled":        flagAt("basic_auth/extract_from_body"),
				"userRegexp":     textAt("basic_auth/body_user_regexp"),
				"passwordRegexp": textAt("basic_auth/body_password_regexp"),
			}),
		}),
		jwtConfig: withSources(with(skews("jwt_"), settings{
			"enabled":                    flagAt("enable_jwt"),
			"source":                     textAt("jwt_source"),
			"jwksURIs":                   jwksRules(),
			"signingMethod":              textAt("jwt_signing_method"),
			"identityBaseField":          textAt("jwt_identity_base_field"),
			"skipKid":                    flagAt("jwt_skip_kid"),
			"policyFieldName":            textAt("jwt_policy_field_name"),
			"clientBaseField":            textAt("jwt_client_base_field"),
			"scopes":                     scopeRules("scopes/jwt"),
			"defaultPolicies":            textsAt("jwt_default_policies"),
			"idpClientIdMappingDisabled": flagAt("idp_client_id_mapping_disabled"),

			// A gateway reads these from the document.
			"subjectClaims":         textsAt(),
			"basePolicyClaims":      textsAt(),
			"allowedIssuers":        textsAt(),
			"allowedAudiences":      textsAt(),
			"allowedSubjects":       textsAt(),
			"jtiValidation":         objectOf(settings{"enabled": flagAt()}),
			"customClaimValidation": customClaimRules(),
		})),
		oauthConfig: withSources(settings{
			"enabled":               flagAt("use_oauth2"),
			"allowedAuthorizeTypes": textsAt("oauth_meta/allowed_authorize_types"),
			"refreshToken":          flagAt(),
			"authLoginRedirect":     textAt("oauth_meta/auth_login_redirect"),
			"notifications": objectOf(settings{
				"sharedSecret":   textAt("notifications/shared_secret"),
				"onKeyChangeUrl": textAt("notifications/oauth_on_keychange_url"),
			}),
		}),
		externalOAuthConfig: withSources(settings{
			"enabled": flagAt("external_oauth/enabled"),
			"providers": itemsAt("external_oauth/providers", settings{
				"jwt": objectOf(with(skews("jwt/"), settings{
					"enabled": flagAt("jwt/enabled"), "signingMethod": textAt("jwt/signing_method"),
					"source": textAt("jwt/source"), "identityBaseField": textAt("jwt/identity_base_field"),
				})),
				"introspection": objectOf(settings{
					"enabled": flagAt("introspection/enabled"), "url": textAt("introspection/url"),
					"clientId":          textAt("introspection/client_id"),
					"clientSecret":      textAt("introspection/client_secret"),
					"identityBaseField": textAt("introspection/identity_base_field"),
					"cache": objectOf(settings{
						"enabled": flagAt("introspection/cache/enabled"), "timeout": integerAt("introspection/cache/timeout"),
					}),
				}),
			}),
		}),
	}
	// An OAuth scheme may be any of three, which are told apart by their settings.
	modes[anyOAuth] = objectOf(with(nativeOAuthRules(), modes[externalOAuthConfig].members, modes[oauthConfig].members))
	modes[""] = objectOf(with(modes[anyOAuth].members, modes[tokenConfig].members, modes[basicConfig].members,
		modes[jwtConfig].members))
	return modes
})

// anyOAuth is the mode of an OAuth scheme before its settings are known.
const anyOAuth = "any OAuth"

// schemeRules returns the rule for what the extension says of a security scheme of the document.
func schemeRules(e *extraction, name string, _ gjson.Result) *setting {
	mode := modeOf(e.document.securityScheme(name))
	if mode == oauthConfig {
		mode = anyOAuth
	}
	return schemeModes()[mode]
}

// with returns all of these rules.
func with(sets ...settings) settings {
	all := settings{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return all
}

// jwksRules returns the rule for a list of URLs. A gateway accepts a text in its place, and ignores it.
func jwksRules() *setting {
	urls := itemsAt("jwt_jwks_uris", settings{"url": textAt("url"), "cacheTimeout": durationAt("cache_timeout")})
	urls.pick = func(_ *extraction, _ string, v gjson.Result) *setting {
		if v.Type == gjson.String {
			return textAt()
		}
		return urls
	}
	return urls
}

// customClaimRules returns the rule for claims that a token must have. A gateway ignores a claim that is not an object.
func customClaimRules() *setting {
	claim := objectOf(settings{
		"type": textAt(), "allowedValues": listAt(&setting{kind: anything}), "nonBlocking": flagAt(),
	})
	claim.pick = func(_ *extraction, _ string, v gjson.Result) *setting {
		if !v.IsObject() {
			return &setting{kind: anything}
		}
		return claim
	}
	return dictionaryOf(claim)
}

// nativeOAuthRules returns the rules for OAuth as gateways have it since 5.14. They read it from the document.
func nativeOAuthRules() settings {
	return settings{
		"scopeCheck": objectOf(settings{
			"enabled": flagAt(), "claimNames": textsAt(), "separator": textAt(), "scopeSource": textAt(),
		}),
		"protectedResourceMetadata": objectOf(settings{
			"enabled": flagAt(), "wellKnownPath": textAt(), "resource": textAt(),
			"authorizationServers": textsAt(), "autoDeriveScopes": flagAt(),
		}),
		"tokenExchange": objectOf(settings{
			"enabled": flagAt(),
			"providers": listAt(objectOf(settings{
				"name": textAt(), "issuers": textsAt(), "tokenEndpoint": textAt(), "timeout": durationAt(),
				"clientAuth":    objectOf(settings{"method": textAt(), "clientId": textAt(), "clientSecret": textAt()}),
				"defaultTarget": objectOf(settings{"audience": textAt(), "scopes": textsAt()}),
				"customParams":  dictionaryOf(textAt()),
				"cache": objectOf(settings{
					"enabled": flagAt(), "mode": textAt(), "maxTimeout": durationAt(), "timeout": durationAt(),
					"safetyMargin": durationAt(),
				}),
			})),
		}),
	}
}
