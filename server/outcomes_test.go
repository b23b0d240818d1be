package server

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/testprogram"
)

// TestUndeclaredReplyDoesNotCompile adds handlers to this package that do what no operation may do, one a line.
func TestUndeclaredReplyDoesNotCompile(t *testing.T) {
	t.Parallel()
	goCommand := testprogram.Need(t, "go")
	faults := []struct{ code, message string }{
		// An outcome that the operation does not declare, directly and for an error.
		{`func _() admin.GetOrgReply { return admin.GetOrgReplies{}.Conflict(nil) }`, "has no field or method Conflict"},
		{`func _(e error) admin.GetOrgsReply { var r admin.GetOrgsReplies; return apiserver.ReplyError(r, e, notFound(r)) }`, "NotFound"},
		{`func _(e error) admin.AdminHelloReply { return apiserver.ReplyError(admin.AdminHelloReplies{}, e) }`, "Failed"},
		{`func _(e error) node.TriggerQuotaReply { return node.TriggerQuotaReplies{}.Failed(e) }`, "has no field or method Failed"},
		// The reply of another operation, and one that is made here.
		{`func _() admin.GetOrgReply { return admin.GetUserDetailReplies{}.NotFound(nil) }`, "cannot use"},
		{`func _() admin.GetOrgReply { return admin.GetOrgReply(admin.GetUserDetailReplies{}.NotFound(nil)) }`, "cannot convert"},
		{`func _() admin.GetOrgReply { return admin.GetOrgReply{contract.Reply{}} }`, "implicit assignment"},
		// A success without its body, with another body, and a message without the value that varies.
		{`func _() admin.GetOrgReply { return admin.GetOrgReplies{}.OK() }`, "not enough arguments"},
		{`func _() admin.GetUserDetailReply { return admin.GetUserDetailReplies{}.OK(admin.Keys{}) }`, "cannot use"},
		{`func _(e error) admin.CreateUserReply { return admin.CreateUserReplies{}.UnknownOrganisation(e) }`, "not enough arguments"},
		// A handler that has a response to write, or an error to return.
		{`func _(r *request) { r.JSON(409, nil) }`, "undefined (type *request has no field or method JSON)"},
		{`var _ admin.Handlers[*request] = faulty{}`, "wrong type for method GetOrg"},
	}
	dir := t.TempDir()
	path, err := filepath.Abs("faults.go")
	require.NoError(t, err)
	lines := []string{"package server", `import ("gatehouse/apiserver"; "gatehouse/contract"; "gatehouse/gen/admin"; "gatehouse/gen/node")`, "var _ contract.Reply"}
	first := len(lines) + 1
	for _, fault := range faults {
		lines = append(lines, fault.code)
	}
	lines = append(lines, "type faulty struct{ *Server }", "func (faulty) GetOrg(*request, admin.OrgID) error { return nil }")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "faults.go"), []byte(strings.Join(lines, "\n")), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: filepath.Join(dir, "faults.go")}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))

	build := exec.CommandContext(t.Context(), goCommand, "build", "-overlay", filepath.Join(dir, "overlay.json"), "-gcflags=-e", ".")
	output, err := build.CombinedOutput()
	require.Error(t, err)
	for i, fault := range faults {
		at := fmt.Sprintf("faults.go:%d:", first+i)
		_, reported, found := strings.Cut(string(output), at)
		require.True(t, found, "compiles: %s\n%s", fault.code, output)
		reported, _, _ = strings.Cut(reported, "faults.go:")
		require.Contains(t, reported, fault.message, fault.code)
	}
}

// TestOutcomesOfTheMiddlewareAreRequired renames the outcomes of the middleware in all operations. The contracts are
// refused at startup, and the error names each outcome that the middleware can produce for an operation.
func TestOutcomesOfTheMiddlewareAreRequired(t *testing.T) {
	t.Parallel()
	whole, err := LoadContract()
	require.NoError(t, err)
	produced := map[contract.Outcome]func(*contract.Operation) bool{
		apiserver.OutcomeUnauthorised:     func(op *contract.Operation) bool { return op.Scheme != "" },
		apiserver.OutcomeTooManyAttempts:  func(op *contract.Operation) bool { return op.Scheme != "" },
		outcomeNoKey:                      func(op *contract.Operation) bool { return op.Scheme == accessKeyScheme },
		apiserver.OutcomeFailed:           func(op *contract.Operation) bool { return op.Scheme == accessKeyScheme },
		apiserver.OutcomeAccessDenied:     func(op *contract.Operation) bool { return op.Permission != nil },
		apiserver.OutcomeEmptyBody:        requiresBody,
		apiserver.OutcomeMalformed:        hasBody,
		apiserver.OutcomeTooLarge:         hasBody,
		apiserver.OutcomeTooSlow:          hasBody,
		apiserver.OutcomeBadParameter:     hasOutcome(apiserver.OutcomeBadParameter),
		apiserver.OutcomeMissingParameter: hasOutcome(apiserver.OutcomeMissingParameter),
	}
	for _, known := range requiredOutcomes() {
		require.Contains(t, produced, known, "a new outcome of the middleware: say here which operations have it")
	}
	var refusals []string
	for _, get := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON, node.GetSpecJSON} {
		document, err := get()
		require.NoError(t, err)
		renamed := string(document)
		for outcome := range produced {
			renamed = strings.ReplaceAll(renamed, fmt.Sprintf(`%q:{"$ref"`, outcome), `"not_`+string(outcome)+`":{"$ref"`)
		}
		_, err = contract.Load(contractRules, []byte(renamed))
		require.Error(t, err)
		refusals = append(refusals, err.Error())
	}
	for op := range whole.Operations() {
		var about []string // the lines that begin with the operation
		for line := range strings.Lines(strings.Join(refusals, "\n")) {
			if strings.Contains(line, fmt.Sprintf("\": %s %s: ", op.Method, op.Path)) {
				about = append(about, line)
			}
		}
		for outcome, can := range produced {
			if can(op) {
				require.Regexp(t, fmt.Sprintf(`has no outcome \[.*\b%s\b`, outcome), strings.Join(about, ""), "%s without %s", op.ID, outcome)
			}
		}
	}
}

// requiredOutcomes returns the outcomes that contractRules names.
func requiredOutcomes() []contract.Outcome {
	rules := contractRules
	all := slices.Concat(rules.Authorised, rules.Body, rules.RequiredBody, rules.Parameters, rules.RequiredParameters)
	for _, outcomes := range rules.Schemes {
		all = append(all, outcomes...)
	}
	return all
}

func hasBody(op *contract.Operation) bool { return op.Body != nil }

func requiresBody(op *contract.Operation) bool { return hasBody(op) && !op.Body.Optional }

func hasOutcome(outcome contract.Outcome) func(*contract.Operation) bool {
	return func(op *contract.Operation) bool { _, ok := op.Responses[outcome]; return ok }
}
