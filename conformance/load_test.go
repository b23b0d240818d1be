package conformance_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
)

// TestLoadReportsFaults has one fault a case. Each is one problem, with file and line.
func TestLoadReportsFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, file, old, fault, want string }{
		{"an unknown key", "boats.yaml", "given: [boat]\n    why", "givn: [boat]\n    why", `toy/boats.yaml:3: unknown key "givn": did you mean "given"?`},
		{"an unknown operation", "boats.yaml", "removeBoat:", "removeBoats: {}\nremoveBoat:", `toy/boats.yaml:13: the contract has no operation "removeBoats": did you mean "removeBoat"?`},
		{"an unknown outcome", "boats.yaml", "  taken:", "  token: {}\n  taken:", `toy/boats.yaml:2: registerBoat documents no outcome "token": did you mean "taken"?`},
		{"an unknown fixture", "boats.yaml", "[boat]\n    why", "[bout]\n    why", `toy/boats.yaml:3: unknown fixture "bout": did you mean "boat"?`},
		{"an unknown value", "boats.yaml", "    why: names are unique", "    set: {/name: '${nam}'}", `toy/boats.yaml:4: unknown value "nam": did you mean "name"?`},
		{"an unknown filter", "boats.yaml", "    why: names are unique", "    set: {/name: '${name:lower}'}", `toy/boats.yaml:4: unknown filter "lower": the only one is upper`},
		{"an unknown need", "boats.yaml", "needs: full-harbour", "needs: full-harbor", `toy/boats.yaml:5: unknown need "full-harbor": did you mean "full-harbour"?`},
		{"an unknown credential", "boats.yaml", "    why: names are unique", "    credential: admin", `toy/boats.yaml:4: unknown credential "admin": expected none, wrong, or the name of a value`},
		{"an unknown parameter", "boats.yaml", "removeBoat:\n  ok: {given: [boat]}", "removeBoat:\n  ok: {given: [boat], query: {boat: x}}", `toy/boats.yaml:14: removeBoat has no query parameter "boat"`},
		{"a pointer without a slash", "boats.yaml", "/length: 12", "length: 12", `toy/boats.yaml:12: "length" is not a JSON pointer, such as /org_id`},
		{"an unknown renamed value", "boats.yaml", "    why: names are unique", "    as: {name: other}", `toy/boats.yaml:4: unknown value "other"`},
		{"a step that is no call", "boats.yaml", "- call: registerBoat\n", "- cal: registerBoat\n", `toy/boats.yaml:11: expected a call: an object with the key call`},
		{"an operation that is declared twice", "boats.yaml", "removeBoat:", "getBoat: {ok: {}}\nremoveBoat:", `toy/boats.yaml:13: key "getBoat" occurs twice: it is already on line 6`},
		{"an unknown outcome of a call", "common.yaml", "expect: unauthorised", "expect: unauthorized", `toy/common.yaml:10: removeBoat documents no outcome "unauthorized": did you mean "unauthorised"?`},
		{"a fixture that uses itself", "common.yaml", "boat: [{call: registerBoat}]", "boat: [boat]", `toy/common.yaml:22: fixture "boat" uses itself`},
		{"a list where an object is expected", "common.yaml", "kinds:\n  ok: {}", "kinds:\n  ok: []", `toy/common.yaml:17: expected an object`},
		{"a kind that does not fit", "common.yaml", "  ok: {}", "  ok: {path: {boat: x}}", `toy/common.yaml:17: registerBoat has no path parameter "boat": if the kind does not fit, add ok below registerBoat in toy/boats.yaml`},
		{"no YAML", "boats.yaml", "removeBoat:", "removeBoat: {", "toy/boats.yaml:14: not YAML: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := loadToy(t, toyFiles(t, test.file, test.old, test.fault))
			require.Error(t, err)
			if test.name == "no YAML" { // whose scenarios are missing, too
				require.Contains(t, err.Error(), test.want[:len("toy/boats.yaml:1")])
				return
			}
			require.Contains(t, err.Error(), test.want)
			require.NotContains(t, err.Error(), "has no scenario", "one fault is one problem")
			require.LessOrEqual(t, strings.Count(err.Error(), "\n"), 1, err.Error())
		})
	}
}

// TestRenamedOperation names the operation whose scenarios are missing in the file, whatever its name.
func TestRenamedOperation(t *testing.T) {
	t.Parallel()
	_, err := loadToy(t, toyFiles(t, "boats.yaml", "removeBoat:", "scuttle:"))
	require.EqualError(t, err, `toy/boats.yaml:13: the contract has no operation "scuttle": did you mean "removeBoat"?`)
}

// TestMissingScenarioIsOneProblem leaves out scenarios: one problem for each operation and status, at the response in
// the contract.
func TestMissingScenarioIsOneProblem(t *testing.T) {
	t.Parallel()
	_, err := loadToy(t, toyFiles(t, "boats.yaml",
		"  taken:\n    given: [boat]\n    why: names are unique\n  crowded: {needs: full-harbour}\n", "  ok: {}\n"))
	require.EqualError(t, err, "testdata/toy.yaml:27: registerBoat 409 has no scenario for crowded, taken: "+
		"add one below registerBoat in toy/boats.yaml")
}

// TestScenariosOfAnotherTag are expected in the file of their tag.
func TestScenariosOfAnotherTag(t *testing.T) {
	t.Parallel()
	spec, err := conformance.ReadSpec("testdata/toy.yaml")
	require.NoError(t, err)
	for _, op := range spec.Operations {
		op.Tag = "Moored boats"
	}
	_, err = conformance.Load(spec, os.DirFS("testdata/toy"), "toy")
	require.ErrorContains(t, err,
		`toy/boats.yaml:1: registerBoat has the tag "Moored boats": its scenarios are expected in toy/moored-boats.yaml`)
}
