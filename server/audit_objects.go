package server

import (
	"cmp"
	"encoding/json"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/oas"
)

// objectsMade are the operations whose object is in the body or in the reply.
var objectsMade = map[string]func(r *request, reply contract.Reply) auditObject{
	"createOrg":  organisationMade,
	"importOrgs": organisationMade,
	"createUser": func(r *request, reply contract.Reply) auditObject {
		made, _ := reply.Body.(admin.User)
		return auditObject{kind: "user", id: made.Id, email: r.text("email_address")}
	},
	"addUser": func(r *request, reply contract.Reply) auditObject {
		id, _ := reply.Body.(string)
		return auditObject{kind: "user", id: id, email: r.text("email_address")}
	},
	"bootstrap": func(r *request, reply contract.Reply) auditObject {
		made, _ := reply.Body.(admin.User)
		return auditObject{kind: "user", id: made.Id, email: r.Body.Form.Get("email_address")}
	},
	"createSession": func(r *request, reply contract.Reply) auditObject {
		opened, _ := reply.Body.(admin.ConsoleSession)
		return auditObject{kind: "session", id: opened.UserId, email: cmp.Or(opened.EmailAddress, r.text("email_address"))}
	},
	"deleteSession": func(r *request, _ contract.Reply) auditObject {
		if !r.caller.authenticated() {
			return auditObject{kind: "session"}
		}
		return auditObject{kind: "session", email: r.caller.user.EmailAddress}
	},
	"createUserGroup": func(_ *request, reply contract.Reply) auditObject {
		id, _ := reply.Body.(string)
		return auditObject{kind: "user_group", id: id}
	},
	"createOrgKey": func(r *request, _ contract.Reply) auditObject {
		return auditObject{kind: "organisation_key", id: r.text("org_id")}
	},
	"addKey": func(_ *request, reply contract.Reply) auditObject {
		made, _ := reply.Body.(admin.KeyData)
		return auditObject{kind: "key", id: fingerprint(valueOf(made.KeyId))}
	},
	"createNewClientApp": func(r *request, reply contract.Reply) auditObject {
		made, _ := reply.Body.(dashboard.OAuthClient)
		return auditObject{kind: "oauth_client", id: cmp.Or(made.ClientId, r.text("client_id"))}
	},
	"createCertificates": func(_ *request, reply contract.Reply) auditObject {
		made, _ := reply.Body.(dashboard.APICertificateStatusMessage)
		return auditObject{kind: "certificate", id: made.Id}
	},
	"generateAuthToken":    signOnMade,
	"createSSONonce":       signOnMade,
	"redeemDashboardNonce": signOnRedeemed,
	"redeemPortalNonce":    signOnRedeemed,
	"registerNode":         nodeMade,
	"removeNode":           nodeMade,
	"postApis": func(r *request, reply contract.Reply) auditObject {
		return auditObject{kind: "api", id: cmp.Or(reply.ID, jsondoc.String(r.Body.JSON, "api_definition", "api_id"))}
	},
	"createApiOAS":     oasAPIMade,
	"createStreamsApi": oasAPIMade,
	"importOAS":        oasAPIMade,
	"postPolicies": func(r *request, reply contract.Reply) auditObject {
		return auditObject{kind: "policy", id: cmp.Or(reply.Value, r.text("id"), r.text("_id"))}
	},
	"importAPIs": func(_ *request, _ contract.Reply) auditObject {
		return auditObject{kind: "api"}
	},
	"importPolicies": func(_ *request, _ contract.Reply) auditObject {
		return auditObject{kind: "policy"}
	},
}

func organisationMade(r *request, reply contract.Reply) auditObject {
	id, made := reply.Body.(string)
	if !made {
		id = r.text("id")
	}
	return auditObject{kind: "organisation", id: id}
}

func signOnMade(r *request, _ contract.Reply) auditObject {
	return auditObject{kind: "sign_on", id: r.text("OrgID"), email: r.text("EmailAddress")}
}

func signOnRedeemed(_ *request, reply contract.Reply) auditObject {
	signOn, _ := reply.Body.(json.RawMessage)
	return auditObject{
		kind: "sign_on", id: jsondoc.String(signOn, "OrgID"), email: jsondoc.String(signOn, "EmailAddress"),
	}
}

func nodeMade(_ *request, reply contract.Reply) auditObject {
	made, _ := reply.Body.(node.NodeResponse)
	return auditObject{kind: "node", id: made.Message["NodeID"]}
}

func oasAPIMade(r *request, reply contract.Reply) auditObject {
	return auditObject{kind: "api", id: cmp.Or(reply.ID, jsondoc.String(r.Body.JSON, oas.Extension, "info", "id"))}
}

// text returns a member of the body, "" if it is no text.
func (r *request) text(member string) string { return jsondoc.String(r.Body.JSON, member) }
