package gatewaystandin

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

type policyList struct {
	Message []policy
	Nonce   string
}

// policy is a gateway's DBPolicy: user.Policy with access rights by API ID.
type policy struct {
	MID                           objectID                    `json:"_id"`
	ID                            string                      `json:"id"`
	Name                          string                      `json:"name"`
	OrgID                         string                      `json:"org_id"`
	Rate                          float64                     `json:"rate"`
	Per                           float64                     `json:"per"`
	QuotaMax                      int64                       `json:"quota_max"`
	QuotaRenewalRate              int64                       `json:"quota_renewal_rate"`
	ThrottleInterval              float64                     `json:"throttle_interval"`
	ThrottleRetryLimit            int                         `json:"throttle_retry_limit"`
	MaxQueryDepth                 int                         `json:"max_query_depth"`
	AccessRights                  map[string]accessDefinition `json:"access_rights"`
	HMACEnabled                   bool                        `json:"hmac_enabled"`
	EnableHTTPSignatureValidation bool                        `json:"enable_http_signature_validation"`
	Active                        bool                        `json:"active"`
	IsInactive                    bool                        `json:"is_inactive"`
	Tags                          []string                    `json:"tags"`
	KeyExpiresIn                  int64                       `json:"key_expires_in"`
	Partitions                    policyPartitions            `json:"partitions"`
	LastUpdated                   string                      `json:"last_updated"`
	MetaData                      map[string]any              `json:"meta_data"`
	GraphQLAccessRights           map[string]struct{}         `json:"graphql_access_rights"`
	Smoothing                     *rateLimitSmoothing         `json:"smoothing"`
}

type policyPartitions struct {
	Quota      bool `json:"quota"`
	RateLimit  bool `json:"rate_limit"`
	Complexity bool `json:"complexity"`
	Acl        bool `json:"acl"`
	PerAPI     bool `json:"per_api"`
}

type rateLimitSmoothing struct {
	Enabled   bool    `json:"enabled"`
	Threshold int64   `json:"threshold"`
	Trigger   float64 `json:"trigger"`
	Step      int64   `json:"step"`
	Delay     int64   `json:"delay"`
}

// accessDefinition is one entry of access_rights, in policies and in sessions.
type accessDefinition struct {
	APIName              string            `json:"api_name"`
	APIID                string            `json:"api_id"`
	Versions             []string          `json:"versions"`
	AllowedURLs          []accessSpec      `json:"allowed_urls"`
	RestrictedTypes      []graphQLType     `json:"restricted_types"`
	AllowedTypes         []graphQLType     `json:"allowed_types"`
	DisableIntrospection bool              `json:"disable_introspection"`
	FieldAccessRights    []fieldAccess     `json:"field_access_rights"`
	Limit                *apiLimit         `json:"limit"`
	AllowanceScope       string            `json:"allowance_scope"`
	Endpoints            []endpointLimiter `json:"endpoints,omitempty"`
}

type accessSpec struct {
	URL     string   `json:"url"`
	Methods []string `json:"methods"`
}

type graphQLType struct {
	Name   string   `json:"name"`
	Fields []string `json:"fields"`
}

type fieldAccess struct {
	TypeName  string `json:"type_name"`
	FieldName string `json:"field_name"`
	Limits    struct {
		MaxQueryDepth int `json:"max_query_depth"`
	} `json:"limits"`
}

type endpointLimiter struct {
	Path    string `json:"path"`
	Methods []struct {
		Name  string `json:"name"`
		Limit struct {
			Rate      float64             `json:"rate"`
			Per       float64             `json:"per"`
			Smoothing *rateLimitSmoothing `json:"smoothing,omitempty"`
		} `json:"limit"`
	} `json:"methods"`
}

type apiLimit struct {
	Rate               float64             `json:"rate"`
	Per                float64             `json:"per"`
	ThrottleInterval   float64             `json:"throttle_interval"`
	ThrottleRetryLimit int                 `json:"throttle_retry_limit"`
	MaxQueryDepth      int                 `json:"max_query_depth"`
	QuotaMax           int64               `json:"quota_max"`
	QuotaRenews        int64               `json:"quota_renews"`
	QuotaRemaining     int64               `json:"quota_remaining"`
	QuotaRenewalRate   int64               `json:"quota_renewal_rate"`
	Smoothing          *rateLimitSmoothing `json:"smoothing,omitempty"`
}

// session is SessionState: the rights and limits of a key or an organisation. Zero fields are encoded, too, as v5.11
// does.
type session struct {
	LastCheck                     int64                       `json:"last_check"`
	Allowance                     float64                     `json:"allowance"`
	Rate                          float64                     `json:"rate"`
	Per                           float64                     `json:"per"`
	ThrottleInterval              float64                     `json:"throttle_interval"`
	ThrottleRetryLimit            int                         `json:"throttle_retry_limit"`
	MaxQueryDepth                 int                         `json:"max_query_depth"`
	DateCreated                   time.Time                   `json:"date_created"`
	Expires                       int64                       `json:"expires"`
	QuotaMax                      int64                       `json:"quota_max"`
	QuotaRenews                   int64                       `json:"quota_renews"`
	QuotaRemaining                int64                       `json:"quota_remaining"`
	QuotaRenewalRate              int64                       `json:"quota_renewal_rate"`
	AccessRights                  map[string]accessDefinition `json:"access_rights"`
	OrgID                         string                      `json:"org_id"`
	OauthClientID                 string                      `json:"oauth_client_id"`
	OauthKeys                     map[string]string           `json:"oauth_keys"`
	Certificate                   string                      `json:"certificate"`
	BasicAuthData                 basicAuthData               `json:"basic_auth_data"`
	JWTData                       jwtData                     `json:"jwt_data"`
	HMACEnabled                   bool                        `json:"hmac_enabled"`
	EnableHTTPSignatureValidation bool                        `json:"enable_http_signature_validation"`
	HmacSecret                    string                      `json:"hmac_string"`
	RSACertificateID              string                      `json:"rsa_certificate_id"`
	IsInactive                    bool                        `json:"is_inactive"`
	ApplyPolicyID                 string                      `json:"apply_policy_id"`
	ApplyPolicies                 []string                    `json:"apply_policies"`
	DataExpires                   int64                       `json:"data_expires"`
	Monitor                       monitorLimits               `json:"monitor"`
	EnableDetailRecording         bool                        `json:"enable_detail_recording"`
	EnableDetailedRecording       bool                        `json:"enable_detailed_recording"`
	MetaData                      map[string]any              `json:"meta_data"`
	Tags                          []string                    `json:"tags"`
	Alias                         string                      `json:"alias"`
	LastUpdated                   string                      `json:"last_updated"`
	IDExtractorDeadline           int64                       `json:"id_extractor_deadline"`
	SessionLifetime               int64                       `json:"session_lifetime"`
	Smoothing                     *rateLimitSmoothing         `json:"smoothing"`
}

type basicAuthData struct {
	Password string `json:"password"`
	HashType string `json:"hash_type"`
}

// hash replaces a password by its hash, which is SHA-256: no client computes a gateway's bcrypt.
func (b *basicAuthData) hash() {
	if b.Password != "" {
		sum := sha256.Sum256([]byte(b.Password))
		b.Password, b.HashType = hex.EncodeToString(sum[:]), "sha256"
	}
}

type jwtData struct {
	Secret string `json:"secret"`
}

type monitorLimits struct {
	TriggerLimits []float64 `json:"trigger_limits"`
}

// policyIDs returns the IDs of the session's policies in their order.
func (s *session) policyIDs() []string {
	if len(s.ApplyPolicies) == 0 && s.ApplyPolicyID != "" {
		return []string{s.ApplyPolicyID}
	}
	return s.ApplyPolicies
}
