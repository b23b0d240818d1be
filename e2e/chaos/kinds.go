package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"gatehouse/client"
)

// kind is a kind of objects, with the requests that write and read them. The state of an object is what the last write
// stored in it: the marker of the request, or a constant; "" is the state of an object that does not exist.
type kind struct {
	name string
	// digits is the number of hexadecimal digits of an ID that the client chooses; 0: the server chooses the ID.
	digits int
	// single reports whether an organisation has exactly one such object.
	single bool

	create  step
	changes []step
	remove  *step // nil if there is no such operation
	read    call
	// state returns the state in a response to read; nil: the state is the marker in it.
	state func(body []byte) string
	// id returns the ID in a response to create; nil: createdID does.
	id func(body []byte) string
	// find lists the objects, if the response to create lacks the ID.
	find call
}

// step is a write.
type step struct {
	call call
	sets string // the state afterwards; "": the marker
	// readBack: the server chooses the new state. It is read after the write, and must differ from the previous one.
	readBack bool
}

const (
	definition = `"org_id":"%o","name":"%m","active":true,"use_keyless":true,
		"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},
		"proxy":{"listen_path":"/%i/","target_url":"http://127.0.0.1:1/","strip_listen_path":true}`
	classicAPI  = `{"api_definition":{"api_id":"%i",` + definition + `}}`
	importedAPI = `{"apis":[` + classicAPI + `]}`

	policy         = `{"_id":"%i","org_id":"%o","name":"%m","active":true,"rate":3,"per":60,"access_rights":{}}`
	importedPolicy = `{"Data":[` + policy + `]}`

	plainOAS = `{"openapi":"3.0.3","info":{"title":"%m","version":"1.0.0"},
		"servers":[{"url":"http://127.0.0.1:1/"}],"paths":{}}`
	oasExtension = `"x-tyk-api-gateway":{"info":{"id":"%i","name":"%m","state":{"active":true}},
		"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"/%i/","strip":true}}}`
	oas = `{"openapi":"3.0.3","info":{"title":"%m","version":"1.0.0"},"paths":{},` + oasExtension + `}`
	// unmarkedOAS has no marker.
	unmarkedOAS = `{"openapi":"3.0.3","info":{"title":"Tides","version":"1.0.0"},"paths":{},
		"x-tyk-api-gateway":{"info":{"id":"%i","name":"Tides","state":{"active":true}},
		"upstream":{"url":"http://127.0.0.1:1/"},"server":{"listenPath":{"value":"/%i/","strip":true}}}}`
	streams = `{"openapi":"3.0.3","info":{"title":"%m","version":"1.0.0"},"paths":{},` + oasExtension + `,
		"x-tyk-streaming":{"streams":{"tides":{"input":{"http_server":{"path":"/in"}}}}}}`

	user = `"org_id":"%o","first_name":"%m","email_address":"%m@chaos.example","active":true`
	// orgKey has limits, which gateways apply.
	orgKey = `{"org_id":"%o","rate":1000,"per":60,"quota_max":-1,"tags":["%m"]}`
	group  = `{"name":"%m","org_id":"%o","active":true,"user_permissions":{"log":"read"}}`
	hook   = `{"name":"%m","method":"POST","target_path":"http://127.0.0.1:1/%m"}`
	asset  = `{"name":"%m","kind":"oas-template","data":{"openapi":"3.0.3","info":{"title":"%m"},"paths":{}}}`
	page   = `{"title":"%m","slug":"/%m","template_name":"","fields":{}}`
	// developer has addresses that are unique in the organisation.
	developer  = `{"email":"%m@chaos.example","password":"battery-staple","inactive":false,"fields":{},"sso_key":"%m"}`
	keyRequest = `{"by_user":"5efdbdb749960c000137f589","apply_policies":[],"fields":{"usecase":"%m"},"version":"v2"}`
	menus      = `{"menus":{"%m":[]},"is_active":true}`
	catalogue  = `{"apis":[{"name":"%m","show":true,"policy_id":"61df10078f11dd00097cb55f","version":"v2"}]}`
)

// markerState returns the marker in a response.
func markerState(body []byte) string { return string(markers.Find(body)) }

// either returns a function that returns one of two states, by whether the body contains a text.
func either(text, with, without string) func([]byte) string {
	return func(body []byte) string {
		if strings.Contains(string(body), text) {
			return with
		}
		return without
	}
}

// member returns a function that returns a member of the body, which is a string.
func member(name string) func([]byte) string {
	return func(body []byte) string {
		var object map[string]json.RawMessage
		var text string
		_ = json.Unmarshal(body, &object)
		_ = json.Unmarshal(object[name], &text) // a body without it has ""
		return text
	}
}

// metaMember returns a function that returns a member of Meta, which is a string.
func metaMember(name string) func([]byte) string {
	return func(body []byte) string {
		var reply struct{ Meta json.RawMessage }
		_ = json.Unmarshal(body, &reply)
		return member(name)(reply.Meta)
	}
}

// createdID returns the ID in the response to most operations that create an object: Meta, or else Message.
func createdID(body []byte) string {
	if id := member("Meta")(body); id != "" {
		return id
	}
	return member("Message")(body)
}

// kinds returns every kind of objects.
func kinds() []kind {
	return slices.Concat(organisationKinds(), userKinds(), apiKinds(), oasKinds(), policyKinds(), documentKinds(),
		portalKinds())
}

func organisationKinds() []kind {
	const organisation = `{"id":"%i","owner_name":"%m","cname_enabled":true,"cname":"%m.chaos.example"}`
	remove := &step{call: withID((*api).DeleteOrgWithResponse)}
	read := withID((*api).GetOrgWithResponse)
	importOrg := step{call: withBody((*api).ImportOrgsWithBodyWithResponse, organisation)}
	return []kind{
		{
			name: "organisation", read: read, remove: remove,
			create:  step{call: withBody((*api).CreateOrgWithBodyWithResponse, organisation)},
			changes: []step{{call: withIDAndBody((*api).UpdateOrgWithBodyWithResponse, organisation)}},
		},
		{
			name: "imported organisation", digits: 24, read: read, remove: remove,
			create: importOrg, changes: []step{importOrg},
		},
		{
			name: "domain of the portal", single: true, read: onOrg(read),
			create: step{call: generatePortals},
			changes: []step{
				{call: withBody((*api).UpdatePortalCNAMEWithBodyWithResponse, `{"cname":"%m.chaos.example"}`)},
				{call: generatePortals},
			},
		},
		{
			name: "organisation key", single: true, read: onOrg(withID((*api).GetOrgKeyWithResponse)),
			create:  step{call: withBody((*api).CreateOrgKeyWithBodyWithResponse, orgKey)},
			changes: []step{{call: onOrg(withIDAndBody((*api).UpdateOrgKeyWithBodyWithResponse, orgKey))}},
			remove:  &step{call: onOrg(withID((*api).DeleteOrgKeyWithResponse))},
		},
	}
}

// generatePortals sends a form, in which %m needs no escaping.
func generatePortals(ctx context.Context, c *api, t target) (response, error) {
	return result(c.GeneratePortalAPIsForOrgWithBodyWithResponse(ctx, t.org, formType, t.fill("domain=%m.chaos.example")))
}

func userKinds() []kind {
	create := step{call: withBody((*api).CreateUserWithBodyWithResponse, `{`+user+`}`)}
	read := withID((*api).GetUserDetailWithResponse)
	remove := &step{call: withID((*api).RemoveUserWithResponse)}
	id := metaMember("id")
	const permissions = `,"user_permissions":{"IsAdmin":"admin"}`
	add := withBody((*api).AddUserWithBodyWithResponse, `{`+user+permissions+`}`)
	change := withIDAndBody((*api).ChangeUserWithBodyWithResponse, `{`+user+permissions+`}`)
	deleteUser := &step{call: withID((*api).DeleteUserWithResponse)}
	return []kind{
		{
			name: "user", id: id, create: create, read: read, remove: remove,
			changes: []step{{call: withIDAndBody((*api).UpdateUserWithBodyWithResponse, `{`+user+`}`)}},
		},
		{
			name: "permission to set passwords", id: id, read: read, remove: remove,
			create: step{call: withBody((*api).CreateUserWithBodyWithResponse, `{`+user+permissions+`}`), sets: "no"},
			changes: []step{
				{call: withID((*api).AllowResetPasswordWithResponse), sets: "yes"},
				{call: withID((*api).DisallowResetPasswordWithResponse), sets: "no"},
			},
			state: either(`"ResetPassword"`, "yes", "no"),
		},
		{
			name: "user of an organisation", read: withID((*api).GetUserWithResponse), remove: deleteUser,
			create: step{call: add}, changes: []step{{call: change}},
		},
		{
			name: "active user", read: read, remove: deleteUser,
			create: step{call: add, sets: "active"},
			changes: []step{
				{call: withID((*api).RevokeUserWithResponse), sets: "revoked"},
				{call: change, sets: "active"},
			},
			state: either(`"active":true`, "active", "revoked"),
		},
		{
			name: "access key", id: id, read: read, remove: remove,
			create:  step{call: create.call, readBack: true},
			changes: []step{{call: withID((*api).ResetUserKeyWithResponse), readBack: true}},
			state:   member("access_key"),
		},
		{
			name: "user group", read: withID((*api).GetUserGroupWithResponse),
			create:  step{call: withBody((*api).CreateUserGroupWithBodyWithResponse, group)},
			changes: []step{{call: withIDAndBody((*api).UpdateUserGroupWithBodyWithResponse, group)}},
			remove:  &step{call: withID((*api).DeleteUserGroupWithResponse)},
		},
	}
}

func apiKinds() []kind {
	read := withID((*api).GetApiWithResponse)
	importAPI := step{call: withBody((*api).ImportAPIsWithBodyWithResponse, importedAPI)}
	return []kind{
		{
			name: "imported API", digits: 32, read: read, create: importAPI, changes: []step{importAPI},
			remove: &step{call: withID((*api).RemoveAPIWithResponse)},
		},
		{
			name: "API", digits: 32, read: read,
			create:  step{call: withQueryAndBody((*api).PostApisWithBodyWithResponse, classicAPI)},
			changes: []step{{call: withIDParamsAndBody((*api).PutApiWithBodyWithResponse, classicAPI)}},
			remove:  &step{call: withID((*api).DeleteApiWithResponse)},
		},
	}
}

func oasKinds() []kind {
	read := withID((*api).GetOASAPIDetailsWithResponse)
	remove := &step{call: withIDAndQuery((*api).DeleteOASApiWithResponse)}
	update := step{call: withIDParamsAndBody((*api).UpdateApiOASWithBodyWithResponse, oas)}
	return []kind{
		{
			name: "OAS API", digits: 32, read: read, remove: remove, changes: []step{update},
			create: step{call: withQueryAndBody((*api).CreateApiOASWithBodyWithResponse, oas)},
		},
		{
			name: "imported OpenAPI document", id: member("ID"), read: read, remove: remove, changes: []step{update},
			create: step{call: withQueryAndBody((*api).ImportOASWithBodyWithResponse, plainOAS)},
		},
		{
			name: "streaming API", digits: 32, read: read, remove: remove,
			create: step{call: withBody((*api).CreateStreamsApiWithBodyWithResponse, streams)},
		},
		{
			name: "categories of an API", digits: 32, read: withID((*api).GetApiCategoriesWithResponse), remove: remove,
			create:  step{call: withQueryAndBody((*api).CreateApiOASWithBodyWithResponse, unmarkedOAS), sets: "none"},
			changes: []step{{call: withIDAndBody((*api).UpdateApiCategoriesWithBodyWithResponse, `{"categories":["%m"]}`)}},
			state: func(body []byte) string {
				if marker := markerState(body); marker != "" {
					return marker
				}
				return "none"
			},
		},
	}
}

func policyKinds() []kind {
	read := withID((*api).GetPolicyWithResponse)
	importPolicy := step{call: withBody((*api).ImportPoliciesWithBodyWithResponse, importedPolicy)}
	return []kind{
		{
			name: "imported policy", digits: 24, read: read, create: importPolicy, changes: []step{importPolicy},
			remove: &step{call: withID((*api).RemovePolicyWithResponse)},
		},
		{
			name: "policy", digits: 24, read: read,
			create:  step{call: withBody((*api).PostPoliciesWithBodyWithResponse, policy)},
			changes: []step{{call: withIDParamsAndBody((*api).PutPoliciesWithBodyWithResponse, policy)}},
			remove:  &step{call: withID((*api).DeletePolicyWithResponse)},
		},
	}
}

func documentKinds() []kind {
	return []kind{
		{
			name: "webhook", read: withID((*api).GetWebhookDetailWithResponse), find: listWebhooks,
			create:  step{call: withBody((*api).CreateWebhookWithBodyWithResponse, hook)},
			changes: []step{{call: withIDAndBody((*api).UpdateWebhookWithBodyWithResponse, hook)}},
			remove:  &step{call: withID((*api).DeleteWebhookWithResponse)},
		},
		{
			name: "asset", id: member("ID"), read: withID((*api).GetAssetWithResponse),
			create:  step{call: withBody((*api).AddAssetWithBodyWithResponse, asset)},
			changes: []step{{call: withIDAndBody((*api).UpdateAssetWithBodyWithResponse, asset)}},
			remove:  &step{call: withID((*api).DeleteAssetWithResponse)},
		},
	}
}

// listWebhooks lists all webhooks of the organisation.
func listWebhooks(ctx context.Context, c *api, _ target) (response, error) {
	all := 0
	return result(c.GetWebhookListWithResponse(ctx, &client.GetWebhookListParams{P: &all}))
}

func portalKinds() []kind {
	return []kind{
		{
			name: "portal configuration", single: true, read: withQuery((*api).GetPortalConfigurationWithResponse),
			create: step{call: withBody((*api).CreatePortalConfigurationWithBodyWithResponse, `{"note":"%m"}`)},
			changes: []step{
				{call: withBody((*api).UpdatePortalConfigurationWithBodyWithResponse, `{"note":"%m"}`)},
				{call: withBody((*api).CreatePortalConfigurationWithBodyWithResponse, `{"note":"%m"}`)},
			},
		},
		{
			name: "portal catalogue", single: true, read: withQuery((*api).GetPortalCatalogueWithResponse),
			create:  step{call: withBody((*api).CreatePortalCatalogueWithBodyWithResponse, catalogue)},
			changes: []step{{call: withBody((*api).UpdatePortalCatalogueWithBodyWithResponse, catalogue)}},
		},
		{
			name: "portal menus", single: true, read: withQuery((*api).GetPortalMenusWithResponse),
			create:  step{call: withBody((*api).CreatePortalMenusWithBodyWithResponse, menus)},
			changes: []step{{call: withBody((*api).UpdatePortalMenusWithBodyWithResponse, menus)}},
		},
		{
			name: "portal style sheet", single: true, read: withQuery((*api).GetPortalCSSWithResponse),
			create:  step{call: withBody((*api).CreatePortalCSSWithBodyWithResponse, `{"page_css":".%m {}"}`)},
			changes: []step{{call: withBody((*api).UpdatePortalCSSWithBodyWithResponse, `{"page_css":".%m {}"}`)}},
		},
		{
			name: "portal page", read: withID((*api).GetPortalPageWithResponse),
			create:  step{call: withBody((*api).CreatePortalPageWithBodyWithResponse, page)},
			changes: []step{{call: withIDAndBody((*api).UpdatePortalPageWithBodyWithResponse, page)}},
			remove:  &step{call: withID((*api).DeletePortalPageWithResponse)},
		},
		{
			name: "portal documentation", read: withID((*api).GetPortalDocumentationWithResponse),
			create: step{call: withBody((*api).CreatePortalDocumentationWithBodyWithResponse,
				`{"api_id":"%m","doc_type":"swagger","documentation":"e30="}`)},
			remove: &step{call: withID((*api).DeletePortalDocumentationWithResponse)},
		},
		{
			name: "portal developer", read: withID((*api).GetPortalDeveloperWithResponse),
			create:  step{call: withBody((*api).CreatePortalDeveloperWithBodyWithResponse, developer)},
			changes: []step{{call: withIDAndBody((*api).UpdatePortalDeveloperWithBodyWithResponse, developer)}},
			remove:  &step{call: withID((*api).DeletePortalDeveloperWithResponse)},
		},
		{
			name: "key request", read: withID((*api).GetKeyRequestWithResponse),
			create:  step{call: withBody((*api).CreateKeyRequestWithBodyWithResponse, keyRequest)},
			changes: []step{{call: withIDAndBody((*api).UpdateKeyRequestWithBodyWithResponse, keyRequest)}},
			remove:  &step{call: withID((*api).DeleteKeyRequestWithResponse)},
		},
	}
}
