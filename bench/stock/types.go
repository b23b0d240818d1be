package main

import (
	"time"

	"gatehouse/gen/admin"
)

// The documents as structs. The generated package has none of them, as gatehouse keeps documents as
// bytes.

type api struct {
	Model          map[string]any       `json:"api_model"`
	Definition     *admin.APIDefinition `json:"api_definition"`
	HookReferences []map[string]any     `json:"hook_references"`
	IsSite         bool                 `json:"is_site"`
	SortBy         int                  `json:"sort_by"`
	UserOwners     []string             `json:"user_owners"`
	GroupOwners    []string             `json:"user_group_owners"`
	OAS            *oasDocument         `json:"oas"`
}

func (a api) row() []any {
	d := a.Definition
	return []any{*d.ApiId, *d.Id, *d.OrgId, *d.Active, a}
}

type oasDocument struct {
	OpenAPI    string                        `json:"openapi"`
	Info       *admin.OASInfo                `json:"info"`
	Servers    []admin.OASServer             `json:"servers"`
	Paths      map[string]*admin.OASPathItem `json:"paths"`
	Components *admin.OASComponents          `json:"components"`
	Gateway    map[string]any                `json:"x-tyk-api-gateway,omitempty"`
}

type policy struct {
	ID               string                              `json:"_id"`
	ExplicitID       string                              `json:"id"`
	OrgID            string                              `json:"org_id"`
	Name             string                              `json:"name"`
	Active           bool                                `json:"active"`
	IsInactive       bool                                `json:"is_inactive"`
	Rate             float64                             `json:"rate"`
	Per              float64                             `json:"per"`
	QuotaMax         int64                               `json:"quota_max"`
	QuotaRenewalRate int64                               `json:"quota_renewal_rate"`
	AccessRights     map[string]admin.DBAccessDefinition `json:"access_rights"`
	Partitions       *admin.PolicyPartitions             `json:"partitions"`
	KeyExpiresIn     int64                               `json:"key_expires_in"`
	HMACEnabled      bool                                `json:"hmac_enabled"`
	Tags             []string                            `json:"tags"`
	MetaData         map[string]any                      `json:"meta_data"`
	LastUpdated      string                              `json:"last_updated"`
	DateCreated      time.Time                           `json:"date_created"`
	ThrottleInterval float64                             `json:"throttle_interval"`
	ThrottleRetries  int                                 `json:"throttle_retry_limit"`
	MaxQueryDepth    int                                 `json:"max_query_depth"`
}

func (p policy) row() []any { return []any{p.ID, p.ID, p.OrgID, p} }

type organisation struct {
	ID                    string                       `json:"id"`
	OwnerName             string                       `json:"owner_name"`
	OwnerSlug             string                       `json:"owner_slug"`
	CNameEnabled          bool                         `json:"cname_enabled"`
	CName                 string                       `json:"cname"`
	APIs                  []admin.ApiDocument          `json:"apis"`
	SSOEnabled            bool                         `json:"sso_enabled"`
	DeveloperQuota        int                          `json:"developer_quota"`
	DeveloperCount        int                          `json:"developer_count"`
	EventOptions          map[string]admin.EventConfig `json:"event_options"`
	HybridEnabled         bool                         `json:"hybrid_enabled"`
	UI                    admin.ConfigUIOptions        `json:"ui"`
	OptionsMeta           map[string]any               `json:"org_options_meta"`
	OpenPolicy            admin.OpenPolicyConf         `json:"open_policy"`
	AdditionalPermissions map[string]string            `json:"additional_permissions"`
}
