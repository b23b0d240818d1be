package conformance_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
	"gatehouse/internal/testprogram"
)

// TestCheckOfAnyContract checks a server and a contract that have nothing to do with gatehouse.
func TestCheckOfAnyContract(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	report := checkToy(t, target, toyFiles(t, ""))
	var text strings.Builder
	require.NoError(t, report.WriteText(&text))
	require.True(t, report.Held(), text.String())
	require.Equal(t, conformance.Counts{Driven: 8, NotDriven: 1, Faults: 1}, report.Counts())
	require.Contains(t, text.String(), "   1  needs a harbour without a free place\n")
	require.True(t, strings.HasSuffix(text.String(), "8 of 9 outcomes driven, 1 need a fault\n"), text.String())
	require.Zero(t, h.left(), "a check removes what it made")
	require.Equal(t, "DELETE /boats/boat-1", h.sent()[0], "the preflight is first")
}

func TestCheckFindsALostValue(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	h.forgetful = true
	report := checkToy(t, target, toyFiles(t, ""))
	var failed []string
	for _, result := range report.Failures() {
		failed = append(failed, result.Scenario.ID())
		require.Contains(t, result.Text(), "/length: expected 12, got 0")
	}
	require.ElementsMatch(t, []string{"registerBoat/ok", "getBoat/ok", "getBoat/ok/2"}, failed)
	require.Zero(t, h.left())
}

// TestCheckOfNothing returns ErrCannotRun for a pattern that selects nothing, also beside one that selects something.
func TestCheckOfNothing(t *testing.T) {
	t.Parallel()
	_, target := startHarbour(t)
	for _, pattern := range []string{"removeBoot", "removeBoat/["} {
		_, err := conformance.Check(t.Context(), toyRunner(t, toyFiles(t, "")), conformance.Options{
			Target: target, Only: []string{"removeBoat", pattern},
		})
		require.ErrorIs(t, err, conformance.ErrCannotRun)
		require.ErrorContains(t, err, pattern)
	}
}

func TestCheckOptions(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	runner := toyRunner(t, toyFiles(t, ""))
	for _, test := range []struct {
		name    string
		options conformance.Options
		driven  []string
		reason  string
	}{
		{"an operation", conformance.Options{Only: []string{"removeBoat"}}, []string{"removeBoat/ok", "removeBoat/unauthorised", "removeBoat/unknown_boat"}, "not selected"},
		{"an outcome", conformance.Options{Only: []string{"*/unauth*"}}, []string{"registerBoat/unauthorised", "removeBoat/unauthorised", "getBoat/unauthorised"}, "not selected"},
		{"a tag", conformance.Options{Only: []string{"Boats"}, ReadOnly: true}, []string{"getBoat/unauthorised"}, "changes something on the server"},
		{"no secret", conformance.Options{Target: conformance.Target{Secrets: map[string]string{}}}, []string{"registerBoat/unauthorised", "removeBoat/unauthorised", "getBoat/unauthorised"}, "needs the secret HARBOUR_KEY"},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := test.options
			options.Target.URL = target.URL
			if options.Target.Secrets == nil {
				options.Target = target
			}
			report, err := conformance.Check(t.Context(), runner, options)
			require.NoError(t, err)
			var driven []string
			for _, result := range report.Results {
				if result.Status == conformance.StatusDriven {
					driven = append(driven, result.Scenario.ID())
				} else if !result.Fault {
					require.Equal(t, test.reason, result.Reason)
				}
			}
			require.ElementsMatch(t, test.driven, driven)
			require.Zero(t, h.left())
		})
	}
}

// TestLeftoversAreNamed refuses the requests that clean up.
func TestLeftoversAreNamed(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	runner := toyRunner(t, toyFiles(t, "common.yaml", "undo:\n  registerBoat: {call: removeBoat,", "undo:\n  registerBoat: {call: removeBoat, credential: wrong,"))
	report, err := conformance.Check(t.Context(), runner, conformance.Options{Target: target, Only: []string{"registerBoat/ok"}})
	require.NoError(t, err)
	require.Equal(t, 1, h.left())
	require.Equal(t, []string{`DELETE /boats/b1: 401: {"Message":"Not for you"}`}, report.Leftovers())
}

// TestScriptRepeatsAFailure runs the script of a scenario that failed: it makes the same difference, and has no secret
// in its text.
func TestScriptRepeatsAFailure(t *testing.T) {
	t.Parallel()
	shell := testprogram.Need(t, "sh")
	testprogram.Need(t, "curl")
	testprogram.Need(t, "jq")
	h, target := startHarbour(t)
	h.forgetful = true
	report := checkToy(t, target, toyFiles(t, ""))
	for _, result := range report.Failures() {
		script := result.Script()
		require.NotContains(t, script, harbourKey)
		require.NotContains(t, script+result.Text(), "secret-")
		run := exec.CommandContext(t.Context(), shell, "-eu", "-c", script)
		run.Env = append(run.Environ(), "HARBOUR_KEY="+harbourKey)
		output, err := run.CombinedOutput()
		require.NoError(t, err, "%s\n%s", script, output)
		require.Contains(t, string(output), `"length":0`, script)
		h.mu.Lock()
		clear(h.boats) // each script registers the same boat
		h.mu.Unlock()
	}
}

func TestKeepLeavesWhatAScenarioMade(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	runner := toyRunner(t, toyFiles(t, ""), func(cfg *conformance.RunnerConfig) { cfg.Keep = true })
	_, err := conformance.Check(t.Context(), runner, conformance.Options{Target: target, Only: []string{"getBoat/ok/2"}})
	require.NoError(t, err)
	require.Equal(t, 1, h.left())
}

// TestCheckThatCannotRun is refused by the preflight.
func TestCheckThatCannotRun(t *testing.T) {
	t.Parallel()
	_, target := startHarbour(t)
	files := toyFiles(t, "common.yaml", "credential: wrong, expect: unauthorised}\nneeds", "expect: unauthorised}\nneeds")
	_, err := conformance.Check(t.Context(), toyRunner(t, files), conformance.Options{Target: target})
	require.ErrorIs(t, err, conformance.ErrCannotRun)
	require.ErrorContains(t, err, "preparing by removeBoat: expected 401 unauthorised, got 404")
	target.URL = "http://127.0.0.1:0"
	_, err = conformance.Check(t.Context(), toyRunner(t, toyFiles(t, "")), conformance.Options{Target: target})
	require.ErrorIs(t, err, conformance.ErrCannotRun)
	require.NotContains(t, err.Error(), harbourKey)
}

// TestDepartingProbeFailsItsScenarios checks servers whose answer to a probe, or to what prepares it, is none that the
// contract has: each scenario with the need has failed, and all others are checked.
func TestDepartingProbeFailsItsScenarios(t *testing.T) {
	t.Parallel()
	const told = "find out whether the server has a place that is free: "
	prepared := []string{"probe: {call: removeBoat,", "probe: {call: removeBoat, given: [boat],"}
	for name, c := range map[string]struct {
		change []string
		broken string // the request that has another answer
		want   string
		failed []string
	}{
		"the probe": {
			nil, "DELETE /boats/boat-1",
			told + "removeBoat: unexpected response 500: not for $HARBOUR_KEY\n",
			[]string{"getBoat/ok", "removeBoat/unauthorised"},
		},
		"what prepares it": {
			prepared, "POST /boats",
			told + "preparing by registerBoat: expected 201 ok, got 500: not for $HARBOUR_KEY\n",
			[]string{
				"registerBoat/ok", "registerBoat/taken", "registerBoat/unauthorised", "getBoat/ok", "getBoat/ok/2",
				"removeBoat/ok",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, target := startHarbour(t)
			first := true
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				isPreflight := first
				first = false
				if r.Method+" "+r.URL.Path == c.broken && !isPreflight {
					w.WriteHeader(http.StatusInternalServerError)
					_, _ = io.WriteString(w, "not for "+harbourKey)
					return
				}
				h.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			target.URL = server.URL
			runner := toyRunner(t, toyFiles(t, "common.yaml", c.change...))
			report, err := conformance.Check(t.Context(), runner, conformance.Options{Target: target, Parallel: 1})
			require.NoError(t, err, "a departure does not end the check")
			var text strings.Builder
			require.NoError(t, report.WriteText(&text))
			require.Contains(t, text.String(), "FAILED getBoat/ok\n  "+c.want)
			require.NotContains(t, text.String(), harbourKey)
			for _, result := range report.Failures() {
				require.Contains(t, result.Text(), "curl -sS -X ", result.Scenario.ID())
			}
			var failed []string
			for _, result := range report.Failures() {
				failed = append(failed, result.Scenario.ID())
			}
			require.ElementsMatch(t, c.failed, failed)
			require.Positive(t, report.Counts().Driven, "the others are checked")
			require.Zero(t, h.left())
		})
	}
}

// TestReportHasNoCredential checks a server that creates with another status than the documented one: the responses,
// also those to calls that prepare, have the keys of what was made.
func TestReportHasNoCredential(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		h.ServeHTTP(recorded, r)
		if recorded.Code == http.StatusCreated {
			recorded.Code = http.StatusAccepted
		}
		w.Header().Set("Content-Type", recorded.Header().Get("Content-Type"))
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(recorded.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	target.URL = server.URL
	report := checkToy(t, target, toyFiles(t, ""))
	require.False(t, report.Held())
	var text, encoded strings.Builder
	require.NoError(t, report.WriteText(&text))
	require.NoError(t, report.WriteJSON(&encoded))
	require.Contains(t, text.String(), "preparing by registerBoat: expected 201 ok, got 202")
	require.Contains(t, text.String(), "$KEY")
	require.NotContains(t, text.String()+encoded.String(), "secret-")
}

// TestCheckLeavesAServerThatDoesNotAnswer sends a body that never ends to a server that waits for its end.
func TestCheckLeavesAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	received := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete { // the preflight
			reply(w, http.StatusUnauthorized, map[string]any{"Message": "Not for you"})
			return
		}
		received <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	t.Cleanup(server.Close)
	files := toyFiles(t, "boats.yaml", "taken:\n    given: [boat]", "taken:\n    given: []\n    transfer: {stall: true}")
	options := conformance.Options{
		Target: conformance.Target{URL: server.URL, Secrets: map[string]string{"harbour": harbourKey}},
		Only:   []string{"registerBoat/taken"},
	}
	t.Run("after the timeout of the client", func(t *testing.T) {
		runner := toyRunner(t, files, func(cfg *conformance.RunnerConfig) {
			cfg.Client = &http.Client{Timeout: 50 * time.Millisecond}
		})
		report, err := conformance.Check(t.Context(), runner, options)
		require.NoError(t, err)
		require.Contains(t, report.Failures()[0].Reason, "deadline exceeded")
		<-received
	})
	t.Run("after Ctrl-C", func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			<-received
			interrupt()
		})
		defer waiting.Wait()
		report, err := conformance.Check(ctx, toyRunner(t, files), options)
		require.NoError(t, err)
		require.True(t, report.Held())
		require.Zero(t, report.Counts().Driven)
	})
}
