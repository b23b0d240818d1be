package desired

import (
	"encoding/json"
	"slices"

	"gatehouse/internal/jsondoc"
)

// accessKey is the member of a user with the access key.
const accessKey = "access_key"

// userMembers are the members of a user that a request sets. The server sets the others.
var userMembers = []string{
	"first_name", "last_name", "email_address", "org_id", "active", accessKey, "user_permissions", "group_id",
	"password_max_days",
}

// settable returns a user with only the members that a request sets.
func settable(user json.RawMessage) json.RawMessage {
	return jsondoc.WithoutAny(user, func(name string) bool { return !slices.Contains(userMembers, name) })
}

// onlyMembers returns a document with only the members that another document also has.
func onlyMembers(doc, other json.RawMessage) json.RawMessage {
	names := map[string]bool{}
	for name := range jsondoc.All(other) {
		names[name] = true
	}
	return jsondoc.WithoutAny(doc, func(name string) bool { return !names[name] })
}

// userRequest returns the body of the request that stores a user: the members of the file, completed with those of the
// stored user, which is nil for a new user.
func userRequest(wanted, stored json.RawMessage) json.RawMessage {
	wanted = settable(wanted)
	if stored == nil {
		return jsondoc.Without(wanted, accessKey)
	}
	if jsondoc.String(wanted, accessKey) == "" {
		wanted = jsondoc.Without(wanted, accessKey) // without it, the server does not change the key
	}
	return jsondoc.SetAll(jsondoc.Without(settable(stored), accessKey), jsondoc.Members(wanted))
}
