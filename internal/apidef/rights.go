package apidef

import (
	"encoding/json"

	"gatehouse/internal/jsondoc"
)

// The two forms of a policy's access rights: an object by api_id, which gateways read, and a list of the same, which
// some clients send alone.
const (
	accessRights      = "access_rights"
	accessRightsArray = "access_rights_array"
)

// WithAccessRights returns a policy that has its access rights in both forms if it has them in one. An element of
// access_rights_array without an api_id grants nothing.
func WithAccessRights(policy json.RawMessage) json.RawMessage {
	rights, _ := jsondoc.Get(policy, accessRights)
	array, _ := jsondoc.Get(policy, accessRightsArray)
	switch {
	case isEmpty(rights) && !isEmpty(array):
		if rights = rightsOf(array); !isEmpty(rights) {
			return jsondoc.Set(policy, accessRights, rights)
		}
	case isEmpty(array) && !isEmpty(rights):
		return jsondoc.Set(policy, accessRightsArray, arrayOf(rights))
	}
	return policy
}

// isEmpty reports whether a list or an object has no elements, or is absent.
func isEmpty(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "{}", "[]":
		return true
	}
	return false
}

// rightsOf returns access rights by api_id. Of elements that have the same one, the last counts.
func rightsOf(array json.RawMessage) json.RawMessage {
	var elements []json.RawMessage
	_ = json.Unmarshal(array, &elements) // anything but a list has no elements
	var rights []jsondoc.Member
	index := map[string]int{}
	for _, element := range elements {
		apiID := jsondoc.String(element, "api_id")
		if apiID == "" {
			continue
		}
		right := jsondoc.NewQuotedMember(apiID, element)
		if at, twice := index[apiID]; twice {
			rights[at] = right
			continue
		}
		index[apiID] = len(rights)
		rights = append(rights, right)
	}
	return jsondoc.Object(rights)
}

// arrayOf returns access rights as a list, each with its api_id.
func arrayOf(rights json.RawMessage) json.RawMessage {
	array := json.RawMessage("[")
	for _, right := range jsondoc.Members(rights) {
		element := right.Value
		if jsondoc.Members(element) == nil { // null, or an object without members
			element = json.RawMessage("{}")
		}
		if jsondoc.String(element, "api_id") == "" {
			element = jsondoc.Set(element, "api_id", jsondoc.Quote(right.Name))
		}
		if len(array) > len("[") {
			array = append(array, ',')
		}
		array = append(array, element...)
	}
	return append(array, ']')
}

// RightsOfPolicy returns the access rights of a policy by api_id, as a session states them: the API and its versions,
// without limits, which a gateway takes from the policy.
func RightsOfPolicy(policy json.RawMessage) []jsondoc.Member {
	rights, _ := jsondoc.Get(WithAccessRights(policy), accessRights)
	members := jsondoc.Members(rights)
	for i, right := range members {
		var kept []jsondoc.Member
		for _, m := range jsondoc.Members(right.Value) {
			if m.Name == "api_id" || m.Name == "api_name" || m.Name == "versions" {
				kept = append(kept, m)
			}
		}
		members[i] = jsondoc.NewQuotedMember(right.Name, jsondoc.Object(kept))
	}
	return members
}
