package contract

import (
	"encoding/json"
	"strings"

	"gatehouse/internal/jsondoc"
)

// CanonicalNames returns a body with the names of the members that clients may write in any case (x-ignore-case) as the
// contract spells them. A body that is not a JSON object is returned as it is.
func (b *Body) CanonicalNames(body json.RawMessage) json.RawMessage {
	if b.AnyCaseNames == nil || !json.Valid(body) {
		return body
	}
	members := jsondoc.Members(body)
	if members == nil {
		return body
	}
	for i, m := range members {
		for _, name := range b.AnyCaseNames {
			if strings.EqualFold(m.Name, name) {
				members[i] = jsondoc.NewMember(name, m.Value)
			}
		}
	}
	return jsondoc.Object(members)
}
