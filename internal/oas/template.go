package oas

import (
	"bytes"
	"encoding/json"

	"gatehouse/internal/jsondoc"
)

// Apply returns a document with what a template has besides: the members of its objects that the document lacks, or has
// as null, at every level. Lists and other values of the document replace those of the template. A document and a
// template that are no objects are returned as they are.
//
// Of the identity of the API that a template was made of, nothing is applied.
func Apply(template, document json.RawMessage) json.RawMessage {
	return mergeObjects(document, withoutIdentity(template))
}

// ApplyToImport is Apply for a document that Extend has made with these options. What Extend has assumed, because
// neither the document nor the options say it, is what the template says.
func ApplyToImport(template, extended json.RawMessage, options ImportOptions) json.RawMessage {
	assumed := [][2]string{{"info", "state"}, {"middleware", "global"}}
	if options.ListenPath == "" {
		assumed = append(assumed, [2]string{"server", "listenPath"})
	}
	extension, _ := jsondoc.Get(extended, Extension)
	for _, path := range assumed {
		parent, _ := jsondoc.Get(extension, path[0])
		value, _ := jsondoc.Get(parent, path[1])
		if stated, ok := jsondoc.Get(template, Extension, path[0], path[1]); ok && isObject(stated) {
			extension = jsondoc.Set(extension, path[0], jsondoc.Set(parent, path[1], mergeObjects(stated, value)))
		}
	}
	return Apply(template, jsondoc.Set(extended, Extension, extension))
}

// withoutIdentity returns a template without the IDs and the organisation of an API.
func withoutIdentity(template json.RawMessage) json.RawMessage {
	extension, _ := jsondoc.Get(template, Extension)
	info, _ := jsondoc.Get(extension, "info")
	if !isObject(info) {
		return template
	}
	for _, name := range []string{"id", "dbId", "orgId"} {
		info = jsondoc.Without(info, name)
	}
	return jsondoc.Set(template, Extension, jsondoc.Set(extension, "info", info))
}

func isObject(value json.RawMessage) bool { return bytes.HasPrefix(value, []byte("{")) }

// mergeObjects returns an object with the members of another one that it lacks. Its own members come first.
func mergeObjects(object, other json.RawMessage) json.RawMessage {
	if !isObject(object) || !isObject(other) {
		return object
	}
	members := jsondoc.Members(object)
	index := make(map[string]int, len(members))
	for i, member := range members {
		index[member.Name] = i
	}
	for _, member := range jsondoc.Members(other) {
		switch at, has := index[member.Name]; {
		case !has:
			members = append(members, member)
		case string(members[at].Value) == "null":
			members[at].Value = member.Value
		default:
			members[at].Value = mergeObjects(members[at].Value, member.Value)
		}
	}
	return jsondoc.Object(members)
}
