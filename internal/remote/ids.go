package remote

import (
	"cmp"
	"encoding/json"
	"strings"

	"gatehouse/internal/jsondoc"
)

// textOf returns a string of a document, or the ID of MongoDB's form {"$oid": "…"} at its place.
func textOf(doc json.RawMessage, path ...string) string {
	return cmp.Or(jsondoc.String(doc, path...), jsondoc.String(doc, append(path, "$oid")...))
}

// IDOf returns the ID by which a server finds the object of a document: the api_id of an API, the _id of a policy (or
// its id, if it has no other), and the e-mail address of a user, in lower case. It is "" if the document has none.
func IDOf(kind Kind, doc json.RawMessage) string {
	switch kind {
	case Organisation:
		return cmp.Or(textOf(doc, "id"), textOf(doc, "_id"))
	case User:
		return strings.ToLower(jsondoc.String(doc, "email_address"))
	case API:
		return textOf(doc, "api_definition", "api_id")
	case Policy:
		return cmp.Or(strings.ToLower(textOf(doc, "_id")), textOf(doc, "id"))
	case Key:
		return OrganisationOf(Key, doc)
	}
	return ""
}

// OrganisationOf returns the ID of the organisation that a document belongs to; "" for a super user.
func OrganisationOf(kind Kind, doc json.RawMessage) string {
	switch kind {
	case Organisation:
		return IDOf(kind, doc)
	case API:
		return textOf(doc, "api_definition", "org_id")
	case Key:
		return cmp.Or(jsondoc.String(doc, "key_id"), jsondoc.String(doc, "data", "org_id"))
	default:
		return textOf(doc, "org_id")
	}
}
