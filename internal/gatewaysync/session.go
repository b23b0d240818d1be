package gatewaysync

import (
	"bytes"
	"encoding/json"
	"slices"
)

// counters are the members of a session that a gateway counts or fills in: there it may differ from what it was sent.
var counters = []string{
	"allowance", "quota_remaining", "quota_renews", "last_check", "last_updated", "expires", "date_created",
	"id_extractor_deadline",
}

// sameLimits reports whether a gateway has the limits that it was sent, as far as it stores them unchanged.
func sameLimits(sent, stored json.RawMessage) bool {
	var want, has map[string]json.RawMessage
	if json.Unmarshal(sent, &want) != nil || json.Unmarshal(stored, &has) != nil {
		return false
	}
	for name, value := range want {
		stored, exists := has[name]
		if exists && !slices.Contains(counters, name) && isScalar(value) && !sameScalar(value, stored) {
			return false
		}
	}
	return true
}

// isScalar reports whether a value is a string, a number or a boolean.
func isScalar(v json.RawMessage) bool { return len(v) > 0 && v[0] != '{' && v[0] != '[' && v[0] != 'n' }

func sameScalar(a, b json.RawMessage) bool {
	var x, y any
	return bytes.Equal(a, b) || json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x == y
}
