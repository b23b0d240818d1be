package gatewaystandin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// mergedAPI is an element of the list of APIs. The types of this file and of versions.go are the classic API definition
// as a gateway v5.11 decodes it. Each field has the gateway's Go type, because one value of another type makes the
// decoding of the whole list fail (docs/behaviour.md#documents-a-gateway-cannot-decode).

type mergedAPI struct {
	Definition *apiDefinition `json:"api_definition"`
	OAS        *openapi3.T    `json:"oas"`
}

// APIType returns the type that a gateway decodes an element of its list of APIs into.
func APIType() reflect.Type { return reflect.TypeFor[mergedAPI]() }

// PolicyType returns the type that a gateway decodes an element of its list of policies into.
func PolicyType() reflect.Type { return reflect.TypeFor[policy]() }

type apiList struct {
	Message []mergedAPI
	Nonce   string
}

type apiDefinition struct {
	ID                  objectID `json:"id,omitempty"`
	APIID               string   `json:"api_id"`
	OrgID               string   `json:"org_id"`
	Name                string   `json:"name"`
	Slug                string   `json:"slug"`
	Expiration          string   `json:"expiration,omitempty"`
	ListenPort          int      `json:"listen_port"`
	Protocol            string   `json:"protocol"`
	EnableProxyProtocol bool     `json:"enable_proxy_protocol"`
	Active              bool     `json:"active"`
	Internal            bool     `json:"internal"`
	IsOAS               bool     `json:"is_oas,omitempty"`
	Domain              string   `json:"domain"`
	DomainDisabled      bool     `json:"domain_disabled,omitempty"`
	Tags                []string `json:"tags"`
	TagsDisabled        bool     `json:"tags_disabled,omitempty"`
	DetailedTracing     bool     `json:"detailed_tracing"`

	authentication
	certificates
	middleware

	Proxy             proxyConfig       `json:"proxy"`
	VersionDefinition versionDefinition `json:"definition"`
	VersionData       versionData       `json:"version_data"`
	UptimeTests       uptimeTests       `json:"uptime_tests"`
	GraphQL           graphQLConfig     `json:"graphql"`
	UpstreamAuth      upstreamAuth      `json:"upstream_auth"`
}

type authentication struct {
	UseKeyless                bool                  `json:"use_keyless"`
	UseOauth2                 bool                  `json:"use_oauth2"`
	UseOpenID                 bool                  `json:"use_openid"`
	UseBasicAuth              bool                  `json:"use_basic_auth"`
	UseMutualTLSAuth          bool                  `json:"use_mutual_tls_auth"`
	SecurityRequirements      [][]string            `json:"security_requirements"`
	UseStandardAuth           bool                  `json:"use_standard_auth"`
	UseGoPluginAuth           bool                  `json:"use_go_plugin_auth"`
	EnableJWT                 bool                  `json:"enable_jwt"`
	EnableCoProcessAuth       bool                  `json:"enable_coprocess_auth"`
	CustomPluginAuthEnabled   bool                  `json:"custom_plugin_auth_enabled"`
	EnableSignatureChecking   bool                  `json:"enable_signature_checking"`
	StripAuthData             bool                  `json:"strip_auth_data"`
	BaseIdentityProvidedBy    string                `json:"base_identity_provided_by"`
	Auth                      authConfig            `json:"auth"`
	AuthConfigs               map[string]authConfig `json:"auth_configs"`
	HmacAllowedClockSkew      float64               `json:"hmac_allowed_clock_skew"`
	HmacAllowedAlgorithms     []string              `json:"hmac_allowed_algorithms"`
	JWTSigningMethod          string                `json:"jwt_signing_method"`
	JWTSource                 string                `json:"jwt_source"`
	JWTJwksURIs               []jwk                 `json:"jwt_jwks_uris"`
	JWTIdentityBaseField      string                `json:"jwt_identity_base_field"`
	JWTClientBaseField        string                `json:"jwt_client_base_field"`
	JWTPolicyFieldName        string                `json:"jwt_policy_field_name"`
	JWTDefaultPolicies        []string              `json:"jwt_default_policies"`
	JWTIssuedAtSkew           uint64                `json:"jwt_issued_at_validation_skew"`
	JWTExpiresAtSkew          uint64                `json:"jwt_expires_at_validation_skew"`
	JWTNotBeforeSkew          uint64                `json:"jwt_not_before_validation_skew"`
	JWTSkipKid                bool                  `json:"jwt_skip_kid"`
	JWTScopeToPolicyMapping   map[string]string     `json:"jwt_scope_to_policy_mapping"`
	JWTScopeClaimName         string                `json:"jwt_scope_claim_name"`
	IDPClientIDMappingDisable bool                  `json:"idp_client_id_mapping_disabled"`
	Scopes                    struct {
		JWT  scopeClaim `json:"jwt"`
		OIDC scopeClaim `json:"oidc"`
	} `json:"scopes"`
	BasicAuth struct {
		DisableCaching     bool   `json:"disable_caching"`
		CacheTTL           int    `json:"cache_ttl"`
		ExtractFromBody    bool   `json:"extract_from_body"`
		BodyUserRegexp     string `json:"body_user_regexp"`
		BodyPasswordRegexp string `json:"body_password_regexp"`
	} `json:"basic_auth"`
	Oauth2Meta struct {
		AllowedAccessTypes     []string `json:"allowed_access_types"`
		AllowedAuthorizeTypes  []string `json:"allowed_authorize_types"`
		AuthorizeLoginRedirect string   `json:"auth_login_redirect"`
	} `json:"oauth_meta"`
	OpenIDOptions struct {
		Providers []struct {
			Issuer    string            `json:"issuer"`
			ClientIDs map[string]string `json:"client_ids"`
		} `json:"providers"`
		SegregateByClient bool `json:"segregate_by_client"`
	} `json:"openid_options"`
	ExternalOAuth struct {
		Enabled   bool               `json:"enabled"`
		Providers []externalProvider `json:"providers"`
	} `json:"external_oauth"`
	NotificationsDetails struct {
		SharedSecret      string `json:"shared_secret"`
		OAuthKeyChangeURL string `json:"oauth_on_keychange_url"`
	} `json:"notifications"`
	AuthProvider    providerMeta `json:"auth_provider"`
	SessionProvider providerMeta `json:"session_provider"`
}

type authConfig struct {
	Name              string `json:"name"`
	UseParam          bool   `json:"use_param"`
	ParamName         string `json:"param_name"`
	UseCookie         bool   `json:"use_cookie"`
	CookieName        string `json:"cookie_name"`
	DisableHeader     bool   `json:"disable_header"`
	AuthHeaderName    string `json:"auth_header_name"`
	UseCertificate    bool   `json:"use_certificate"`
	ValidateSignature bool   `json:"validate_signature"`
	Signature         struct {
		Algorithm        string `json:"algorithm"`
		Header           string `json:"header"`
		UseParam         bool   `json:"use_param"`
		ParamName        string `json:"param_name"`
		Secret           string `json:"secret"`
		AllowedClockSkew int64  `json:"allowed_clock_skew"`
		ErrorCode        int    `json:"error_code"`
		ErrorMessage     string `json:"error_message"`
	} `json:"signature"`
}

type scopeClaim struct {
	ScopeClaimName string            `json:"scope_claim_name"`
	ScopeToPolicy  map[string]string `json:"scope_to_policy"`
}

type externalProvider struct {
	JWT struct {
		Enabled           bool   `json:"enabled"`
		SigningMethod     string `json:"signing_method"`
		Source            string `json:"source"`
		IdentityBaseField string `json:"identity_base_field"`
		ExpiresAtSkew     uint64 `json:"expires_at_validation_skew"`
		IssuedAtSkew      uint64 `json:"issued_at_validation_skew"`
		NotBeforeSkew     uint64 `json:"not_before_validation_skew"`
	} `json:"jwt"`
	Introspection struct {
		Enabled           bool   `json:"enabled"`
		URL               string `json:"url"`
		ClientID          string `json:"client_id"`
		ClientSecret      string `json:"client_secret"`
		IdentityBaseField string `json:"identity_base_field"`
		Cache             struct {
			Enabled bool  `json:"enabled"`
			Timeout int64 `json:"timeout"`
		} `json:"cache"`
	} `json:"introspection"`
}

type providerMeta struct {
	Name          string         `json:"name"`
	StorageEngine string         `json:"storage_engine"`
	Meta          map[string]any `json:"meta"`
}

type certificates struct {
	Certificates                 []string          `json:"certificates"`
	ClientCertificates           []string          `json:"client_certificates"`
	UpstreamCertificates         map[string]string `json:"upstream_certificates"`
	UpstreamCertificatesDisabled bool              `json:"upstream_certificates_disabled,omitempty"`
	PinnedPublicKeys             map[string]string `json:"pinned_public_keys"`
	CertificatePinningDisabled   bool              `json:"certificate_pinning_disabled,omitempty"`
	RequestSigning               struct {
		IsEnabled       bool     `json:"is_enabled"`
		Secret          string   `json:"secret"`
		KeyID           string   `json:"key_id"`
		Algorithm       string   `json:"algorithm"`
		HeaderList      []string `json:"header_list"`
		CertificateID   string   `json:"certificate_id"`
		SignatureHeader string   `json:"signature_header"`
	} `json:"request_signing"`
}

type middleware struct {
	DisableRateLimit                     bool               `json:"disable_rate_limit"`
	DisableQuota                         bool               `json:"disable_quota"`
	CustomMiddleware                     middlewareSection  `json:"custom_middleware"`
	CustomMiddlewareBundle               string             `json:"custom_middleware_bundle"`
	CustomMiddlewareBundleDisabled       bool               `json:"custom_middleware_bundle_disabled"`
	CacheOptions                         cacheOptions       `json:"cache_options"`
	SessionLifetimeRespectsKeyExpiration bool               `json:"session_lifetime_respects_key_expiration,omitempty"`
	SessionLifetime                      int64              `json:"session_lifetime"`
	EventHandlers                        eventHandlers      `json:"event_handlers"`
	EnableBatchRequestSupport            bool               `json:"enable_batch_request_support"`
	EnableIPWhiteListing                 bool               `json:"enable_ip_whitelisting"`
	AllowedIPs                           []string           `json:"allowed_ips"`
	EnableIPBlacklisting                 bool               `json:"enable_ip_blacklisting"`
	BlacklistedIPs                       []string           `json:"blacklisted_ips"`
	IPAccessControlDisabled              bool               `json:"ip_access_control_disabled"`
	DontSetQuotaOnCreate                 bool               `json:"dont_set_quota_on_create"`
	ExpireAnalyticsAfter                 int64              `json:"expire_analytics_after"`
	ResponseProcessors                   []namedOptions     `json:"response_processors"`
	CORS                                 corsConfig         `json:"CORS"`
	DoNotTrack                           bool               `json:"do_not_track"`
	EnableContextVars                    bool               `json:"enable_context_vars"`
	ConfigData                           map[string]any     `json:"config_data"`
	ConfigDataDisabled                   bool               `json:"config_data_disabled"`
	TagHeaders                           []string           `json:"tag_headers"`
	GlobalRateLimit                      globalRateLimit    `json:"global_rate_limit"`
	EnableDetailedRecording              bool               `json:"enable_detailed_recording"`
	AnalyticsPlugin                      analyticsPluginDef `json:"analytics_plugin"`
}

type middlewareSection struct {
	Pre         []middlewareDefinition `json:"pre"`
	Post        []middlewareDefinition `json:"post"`
	PostKeyAuth []middlewareDefinition `json:"post_key_auth"`
	AuthCheck   middlewareDefinition   `json:"auth_check"`
	Response    []middlewareDefinition `json:"response"`
	Driver      string                 `json:"driver"`
	IDExtractor struct {
		Disabled        bool           `json:"disabled"`
		ExtractFrom     string         `json:"extract_from"`
		ExtractWith     string         `json:"extract_with"`
		ExtractorConfig map[string]any `json:"extractor_config"`
	} `json:"id_extractor"`
}

type middlewareDefinition struct {
	Disabled       bool   `json:"disabled"`
	Name           string `json:"name"`
	Path           string `json:"path"`
	RequireSession bool   `json:"require_session"`
	RawBodyOnly    bool   `json:"raw_body_only"`
}

type cacheOptions struct {
	CacheTimeout               int64    `json:"cache_timeout"`
	EnableCache                bool     `json:"enable_cache"`
	CacheAllSafeRequests       bool     `json:"cache_all_safe_requests"`
	CacheResponseCodes         []int    `json:"cache_response_codes"`
	EnableUpstreamCacheControl bool     `json:"enable_upstream_cache_control"`
	CacheControlTTLHeader      string   `json:"cache_control_ttl_header"`
	CacheByHeaders             []string `json:"cache_by_headers"`
}

type eventHandlers struct {
	Events map[string][]struct {
		Handler     string         `json:"handler_name"`
		HandlerMeta map[string]any `json:"handler_meta"`
	} `json:"events"`
}

type namedOptions struct {
	Name    string `json:"name"`
	Options any    `json:"options"`
}

type corsConfig struct {
	Enable             bool     `json:"enable"`
	AllowedOrigins     []string `json:"allowed_origins"`
	AllowedMethods     []string `json:"allowed_methods"`
	AllowedHeaders     []string `json:"allowed_headers"`
	ExposedHeaders     []string `json:"exposed_headers"`
	AllowCredentials   bool     `json:"allow_credentials"`
	MaxAge             int      `json:"max_age"`
	OptionsPassthrough bool     `json:"options_passthrough"`
	Debug              bool     `json:"debug"`
}

type globalRateLimit struct {
	Disabled bool    `json:"disabled"`
	Rate     float64 `json:"rate"`
	Per      float64 `json:"per"`
}

type analyticsPluginDef struct {
	Enabled    bool   `json:"enable"`
	PluginPath string `json:"plugin_path"`
	FuncName   string `json:"func_name"`
}

type proxyConfig struct {
	PreserveHostHeader          bool             `json:"preserve_host_header"`
	ListenPath                  string           `json:"listen_path"`
	TargetURL                   string           `json:"target_url"`
	DisableStripSlash           bool             `json:"disable_strip_slash"`
	StripListenPath             bool             `json:"strip_listen_path"`
	EnableLoadBalancing         bool             `json:"enable_load_balancing"`
	TargetList                  []string         `json:"target_list"`
	CheckHostAgainstUptimeTests bool             `json:"check_host_against_uptime_tests"`
	ServiceDiscovery            serviceDiscovery `json:"service_discovery"`
	Transport                   struct {
		SSLInsecureSkipVerify   bool     `json:"ssl_insecure_skip_verify"`
		SSLCipherSuites         []string `json:"ssl_ciphers"`
		SSLMinVersion           uint16   `json:"ssl_min_version"`
		SSLMaxVersion           uint16   `json:"ssl_max_version"`
		SSLForceCommonNameCheck bool     `json:"ssl_force_common_name_check"`
		ProxyURL                string   `json:"proxy_url"`
	} `json:"transport"`
}

type serviceDiscovery struct {
	UseDiscoveryService bool   `json:"use_discovery_service"`
	QueryEndpoint       string `json:"query_endpoint"`
	UseNestedQuery      bool   `json:"use_nested_query"`
	ParentDataPath      string `json:"parent_data_path"`
	DataPath            string `json:"data_path"`
	PortDataPath        string `json:"port_data_path"`
	TargetPath          string `json:"target_path"`
	UseTargetList       bool   `json:"use_target_list"`
	CacheDisabled       bool   `json:"cache_disabled"`
	CacheTimeout        int64  `json:"cache_timeout"`
	EndpointReturnsList bool   `json:"endpoint_returns_list"`
}

// jwk is a source of keys that sign JSON Web Tokens.
type jwk struct {
	URL          string           `json:"url"`
	CacheTimeout readableDuration `json:"cache_timeout"`
}

// readableDuration is a duration in Go's notation, such as "5m". A value other than a string, null included, does not
// decode; a string that is not a duration is 0.
type readableDuration time.Duration

// UnmarshalJSON decodes a string by Go's rules, not by JSON's.
func (d *readableDuration) UnmarshalJSON(data []byte) error {
	text, err := strconv.Unquote(string(data))
	if err != nil {
		return fmt.Errorf("duration %s: %w", data, err)
	}
	parsed, _ := time.ParseDuration(text)
	*d = readableDuration(parsed)
	return nil
}

type uptimeTests struct {
	Disabled  bool `json:"disabled"`
	CheckList []struct {
		CheckURL            string            `json:"url"`
		Protocol            string            `json:"protocol"`
		Timeout             time.Duration     `json:"timeout"`
		EnableProxyProtocol bool              `json:"enable_proxy_protocol"`
		Method              string            `json:"method"`
		Headers             map[string]string `json:"headers"`
		Body                string            `json:"body"`
		Commands            []struct {
			Name    string `json:"name"`
			Message string `json:"message"`
		} `json:"commands"`
	} `json:"check_list"`
	Config struct {
		ExpireUptimeAnalyticsAfter int64            `json:"expire_utime_after"`
		ServiceDiscovery           serviceDiscovery `json:"service_discovery"`
		RecheckWait                int              `json:"recheck_wait"`
	} `json:"config"`
}

type upstreamAuth struct {
	Enabled   bool `json:"enabled"`
	BasicAuth struct {
		Enabled  bool       `json:"enabled"`
		Username string     `json:"username"`
		Password string     `json:"password"`
		Header   authSource `json:"header"`
	} `json:"basic_auth"`
	OAuth struct {
		Enabled               bool          `json:"enabled"`
		AllowedAuthorizeTypes []string      `json:"allowed_authorize_types"`
		ClientCredentials     upstreamGrant `json:"client_credentials"`
		Password              struct {
			upstreamGrant

			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"password"`
	} `json:"oauth"`
}

type authSource struct {
	Enabled bool   `json:"enabled"`
	Name    string `json:"name"`
}

// upstreamGrant has the fields that both OAuth grants have.
type upstreamGrant struct {
	ClientID      string     `json:"client_id"`
	ClientSecret  string     `json:"client_secret"`
	Header        authSource `json:"header"`
	TokenURL      string     `json:"token_url"`
	Scopes        []string   `json:"scopes"`
	ExtraMetadata []string   `json:"extra_metadata"`
}

type graphQLConfig struct {
	Enabled                 bool       `json:"enabled"`
	ExecutionMode           string     `json:"execution_mode"`
	Version                 string     `json:"version"`
	Schema                  string     `json:"schema"`
	LastSchemaUpdate        *time.Time `json:"last_schema_update,omitempty"`
	TypeFieldConfigurations []struct {
		TypeName  string `json:"type_name"`
		FieldName string `json:"field_name"`
		Mapping   *struct {
			Disabled bool   `json:"disabled"`
			Path     string `json:"path"`
		} `json:"mapping"`
		DataSource struct {
			Kind   string          `json:"kind"`
			Config json.RawMessage `json:"data_source_config,omitempty"`
		} `json:"data_source"`
	} `json:"type_field_configurations"`
	Playground struct {
		Enabled bool   `json:"enabled"`
		Path    string `json:"path"`
	} `json:"playground"`
	Engine struct {
		FieldConfigs []struct {
			TypeName              string   `json:"type_name"`
			FieldName             string   `json:"field_name"`
			DisableDefaultMapping bool     `json:"disable_default_mapping"`
			Path                  []string `json:"path"`
		} `json:"field_configs"`
		DataSources []struct {
			Kind       string `json:"kind"`
			Name       string `json:"name"`
			Internal   bool   `json:"internal"`
			RootFields []struct {
				Type   string   `json:"type"`
				Fields []string `json:"fields"`
			} `json:"root_fields"`
			Config json.RawMessage `json:"config,omitempty"`
		} `json:"data_sources"`
		GlobalHeaders []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"global_headers"`
	} `json:"engine"`
	Proxy         graphQLProxy `json:"proxy"`
	Introspection struct {
		Disabled bool `json:"disabled"`
	} `json:"introspection"`
	Subgraph struct {
		SDL string `json:"sdl"`
	} `json:"subgraph"`
	Supergraph struct {
		UpdatedAt            *time.Time        `json:"updated_at,omitempty"`
		MergedSDL            string            `json:"merged_sdl"`
		GlobalHeaders        map[string]string `json:"global_headers"`
		DisableQueryBatching bool              `json:"disable_query_batching"`
		Subgraphs            []struct {
			APIID            string            `json:"api_id"`
			Name             string            `json:"name"`
			URL              string            `json:"url"`
			SDL              string            `json:"sdl"`
			SSEUsePost       bool              `json:"sse_use_post"`
			Headers          map[string]string `json:"headers"`
			SubscriptionType string            `json:"subscription_type"`
		} `json:"subgraphs"`
	} `json:"supergraph"`
}

type graphQLProxy struct {
	AuthHeaders      map[string]string `json:"auth_headers"`
	RequestHeaders   map[string]string `json:"request_headers"`
	SubscriptionType string            `json:"subscription_type"`
	SSEUsePost       bool              `json:"sse_use_post"`
	Features         struct {
		UseImmutableHeaders bool `json:"use_immutable_headers"`
	} `json:"features"`
	UseResponseExtensions struct {
		OnErrorForwarding bool `json:"on_error_forwarding"`
	} `json:"use_response_extensions"`
	RequestHeadersRewrite map[string]struct {
		Value  string `json:"value"`
		Remove bool   `json:"remove"`
	} `json:"request_headers_rewrite"`
}
