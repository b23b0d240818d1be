package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
		{`func _(e error) admin.GetOrgsReply { var r admin.GetOrgsReplies; return replyError(r, e, notFound(r)) }`, "NotFound"},
		{`func _(e error) admin.AdminHelloReply { return replyError(admin.AdminHelloReplies{}, e) }`, "Failed"},
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
	lines := []string{"package server", `import ("gatehouse/contract"; "gatehouse/gen/admin"; "gatehouse/gen/node")`, "var _ contract.Reply"}
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
		outcomeUnauthorised:    func(op *contract.Operation) bool { return op.Scheme != "" },
		outcomeTooManyAttempts: func(op *contract.Operation) bool { return op.Scheme != "" },
		outcomeNoKey:           func(op *contract.Operation) bool { return op.Scheme == accessKeyScheme },
		outcomeFailed:          func(op *contract.Operation) bool { return op.Scheme == accessKeyScheme },
		outcomeAccessDenied:    func(op *contract.Operation) bool { return op.Permission != nil },
		outcomeEmptyBody:       requiresBody, outcomeMalformed: hasBody, outcomeTooLarge: hasBody, outcomeTooSlow: hasBody,
		outcomeBadParameter: hasOutcome(outcomeBadParameter), outcomeMissingParameter: hasOutcome(outcomeMissingParameter),
	}
	for _, known := range middlewareOutcomes {
		require.Contains(t, produced, known.outcome, "a new outcome of the middleware: say here which operations have it")
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

func hasBody(op *contract.Operation) bool { return op.Body != nil }

func requiresBody(op *contract.Operation) bool { return hasBody(op) && !op.Body.Optional }

func hasOutcome(outcome contract.Outcome) func(*contract.Operation) bool {
	return func(op *contract.Operation) bool { _, ok := op.Responses[outcome]; return ok }
}

// TestSend covers replies that no contract has yet, and those of a handler that is wrong.
func TestSend(t *testing.T) {
	t.Parallel()
	conflict := contract.Response{Status: http.StatusConflict, Form: contract.Empty}
	failed := contract.Response{Status: http.StatusInternalServerError, Form: contract.Envelope, Message: "Failed"}
	op := &contract.Operation{ID: "make", Method: http.MethodPost, Responses: map[contract.Outcome]contract.Response{
		"conflict": conflict, outcomeFailed: failed, outcomeMalformed: conflict,
	}}
	var log strings.Builder
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil)), metrics: newMetrics(nil)}

	r, rec := requestWithoutCaller(op)
	require.NoError(t, s.send(r.echo, contract.Reply{Outcome: "conflict", Response: conflict}))
	require.Equal(t, http.StatusConflict, rec.Code)
	require.Empty(t, rec.Body.String())
	require.Empty(t, rec.Header().Get("Content-Type"))

	r, rec = requestWithoutCaller(op)
	s.handleError(malformedAt("/a", "is wrong", nil), r.echo)
	require.Equal(t, http.StatusConflict, rec.Code, "an outcome of the middleware may have no content, too")
	require.Empty(t, rec.Body.String())
	require.Empty(t, log.String())

	for name, wrong := range map[string]struct {
		reply contract.Reply
		err   error
	}{
		"no reply":            {contract.Reply{}, errNoReply},
		"nothing was sent":    {contract.Reply{Outcome: "conflict", Response: conflict, Streamed: true}, errNotSent},
		"an unexpected error": {contract.Reply{Outcome: outcomeFailed, Response: failed, Cause: errors.ErrUnsupported}, nil},
	} {
		log.Reset()
		r, rec = requestWithoutCaller(op)
		r.echo.Response().Header().Set("X-Request-Id", "the-request")
		err := s.send(r.echo, wrong.reply)
		require.ErrorIs(t, err, wrong.err, name)
		if err != nil {
			s.handleError(err, r.echo)
		}
		require.Equal(t, http.StatusInternalServerError, rec.Code, name)
		require.JSONEq(t, `{"Status":"Error","Message":"Failed","Meta":null}`, rec.Body.String(), name)
		require.Contains(t, log.String(), `msg="request failed" operation=make`, name)
		require.Contains(t, log.String(), `request=the-request err=`, name)
	}

	log.Reset()
	r, _ = requestWithoutCaller(op)
	require.NoError(t, writeJSON(r.echo, http.StatusTeapot, "by itself"))
	streamed := contract.Reply{Outcome: "conflict", Response: conflict, Streamed: true}
	require.ErrorIs(t, s.send(r.echo, streamed), errSentElse)
	s.handleError(errSentElse, r.echo)
	require.Contains(t, log.String(), `msg="response broken off" operation=make`)
}
