package oas

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// combinationsData has documents with up to 60 settings each, several operations and several security schemes, chosen
// at random, and what a gateway's own code makes of them: OAS.ExtractTo of Tyk Gateway as of June 2024, the newest that
// the Go module proxy has. It makes the same of the settings that are in it as 5.14.0. Values that are the same to a
// gateway as nothing, and the members in newerMembers, have been left out.
const combinationsData = "testdata/combinations.jsonl.gz"

// newerMembers are the members that 5.14.0 writes in another way, or newly.
var newerMembers = [][]string{
	{"security_requirement_scopes"},
	{"error_overrides_disabled"},
	{"ip_access_control_disabled"},
	{"uptime_tests", "disabled"},
	{"version_data", "versions", "", "global_enforce_timeout"},
	{"version_data", "versions", "", "global_enforce_timeout_disabled"},
	{"version_data", "versions", "", "global_size_limit_disabled"},
}

// TestRandomCombinations compares definitions with those of a gateway.
func TestRandomCombinations(t *testing.T) {
	t.Parallel()
	combinations := readLines[struct {
		Document json.RawMessage
		Classic  map[string]any
	}](t, combinationsData)
	require.Len(t, combinations, 250)
	for _, combination := range combinations {
		definition := definitionOf(t, combination.Document)
		for _, path := range newerMembers {
			remove(definition, path)
		}
		got := withoutAnyZeros(definition)
		sortEndpoints(got)
		sortEndpoints(combination.Classic)
		require.Equal(t, combination.Classic, got, "%s", combination.Document)
	}
}

func remove(object map[string]any, path []string) {
	if member, ok := object[path[0]].(map[string]any); ok && len(path) > 1 {
		remove(member, path[1:])
	} else if len(path) == 1 {
		delete(object, path[0])
	}
}

// withoutAnyZeros is withoutZeros, in lists and of what is disabled, too.
func withoutAnyZeros(object map[string]any) map[string]any {
	kept := map[string]any{}
	for name, value := range object {
		if value = withoutAnyZero(value); !isZero(value) {
			kept[name] = value
		}
	}
	return kept
}

func withoutAnyZero(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return withoutAnyZeros(v)
	case []any:
		kept := []any{}
		for _, element := range v {
			kept = append(kept, withoutAnyZero(element))
		}
		return kept
	}
	return value
}

// sortEndpoints sorts the lists of endpoints: the older gateway has no order for the methods of a path.
func sortEndpoints(definition map[string]any) {
	version := definition["version_data"].(map[string]any)["versions"].(map[string]any)[""].(map[string]any)
	lists, _ := version["extended_paths"].(map[string]any)
	for _, value := range lists {
		if list, ok := value.([]any); ok {
			slices.SortFunc(list, func(a, b any) int {
				x, _ := json.Marshal(a)
				y, _ := json.Marshal(b)
				return cmp.Compare(string(x), string(y))
			})
		}
	}
}
