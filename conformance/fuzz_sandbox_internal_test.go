package conformance

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSandboxRemembersWhatAPartyMayHaveStored: a party that has sent a secret value of another party in an accepted
// write may receive that value later, and no other.
func TestSandboxRemembersWhatAPartyMayHaveStored(t *testing.T) {
	t.Parallel()
	suite := &Suite{values: map[string]*storyValue{"key": {fresh: "{hex:8}"}, "name": {fresh: "{run}"}}}
	sandbox := &Sandbox{runner: &Runner{cfg: RunnerConfig{Suite: suite, Now: time.Now}}}
	for _, key := range []string{"own-key", "sent-key", "other-key"} {
		one := sandbox.runner.newRun(Target{})
		one.story.bound = map[string]string{"key": key, "name": "shared name"}
		sandbox.parties = append(sandbox.parties, &party{run: one, stored: map[string]bool{}})
	}
	caller, owner := sandbox.parties[0], sandbox.parties[1]
	request := func(method, body string) *GeneratedRequest {
		return &GeneratedRequest{
			Operation: &Operation{}, Method: method, Target: "/things", Body: []byte(body), caller: caller, owner: owner,
		}
	}
	disclosed := func(body string) []Difference {
		return sandbox.disclosed(request(http.MethodGet, ""), &exchangeResponse{body: []byte(body)})
	}
	want := []Difference{{"response", "has the key of another party"}}
	require.Empty(t, disclosed("own-key, shared name"))
	require.Equal(t, want, disclosed("sent-key"))

	sandbox.note(request(http.MethodGet, "sent-key"), &exchangeResponse{status: http.StatusOK})
	sandbox.note(request(http.MethodPost, "sent-key"), &exchangeResponse{status: http.StatusForbidden})
	require.Equal(t, want, disclosed("sent-key"), "nothing was stored")

	sandbox.note(request(http.MethodPost, "sent-key"), &exchangeResponse{status: http.StatusOK})
	require.Empty(t, disclosed("sent-key"))
	require.Equal(t, want, disclosed("sent-key, other-key"))
}
