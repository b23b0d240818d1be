package conformance_test

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
)

// sandboxOf returns a sandbox with two boats and a barge, whose key the harbour should refuse.
func sandboxOf(t *testing.T, target conformance.Target) *conformance.Sandbox {
	t.Helper()
	runner := toyRunner(t, toyFiles(t, ""), func(cfg *conformance.RunnerConfig) { cfg.Random = rand.NewChaCha8([32]byte{}) })
	boat := []string{"boat"}
	sandbox, err := conformance.NewSandbox(t.Context(), runner, target, []conformance.Party{
		{Fixtures: boat}, {Fixtures: boat}, {Fixtures: boat, Refused: true},
	}...)
	require.NoError(t, err)
	return sandbox
}

// reasonsOf sends generated requests, and returns the different reasons for which responses are against the contract.
func reasonsOf(t *testing.T, target conformance.Target) (reasons []string) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		sandbox := sandboxOf(t, target)
		for range 10 { // after which the boats are likely to be removed
			generated, err := sandbox.Generate(random)
			require.NoError(t, err)
			require.NotContains(t, generated.Curl(), harbourKey)
			received, err := sandbox.Send(t.Context(), generated)
			require.NoError(t, err)
			for _, d := range sandbox.Check(generated, received, false) {
				if !slices.Contains(reasons, d.Reason) {
					reasons = append(reasons, d.Reason)
				}
			}
		}
		sandbox.Close(t.Context())
	}
	return reasons
}

const (
	reasonAccepted  = "is not valid here, but was accepted"
	reasonDisclosed = "has the key of another party"
)

func TestSandboxFindsWhoGetsIn(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	reasons := reasonsOf(t, target)
	require.Contains(t, reasons, reasonAccepted, "of the third boat")
	require.NotContains(t, reasons, reasonDisclosed)
	require.Zero(t, h.left(), "the requests leave nothing")

	t.Run("a response that has what is another's", func(t *testing.T) {
		t.Parallel()
		h, target := startHarbour(t)
		h.open = true
		require.Contains(t, reasonsOf(t, target), reasonDisclosed)
	})
}

// TestSandboxRepeats: a seed makes the same requests, so that a failure can be repeated.
func TestSandboxRepeats(t *testing.T) {
	t.Parallel()
	requests := func() (all []string) {
		_, target := startHarbour(t)
		sandbox := sandboxOf(t, target)
		random := rand.New(rand.NewPCG(3, 4))
		for range 50 {
			generated, err := sandbox.Generate(random)
			require.NoError(t, err)
			var header bytes.Buffer
			require.NoError(t, generated.Header.Write(&header))
			all = append(all, generated.Method+" "+generated.Target+"\n"+header.String()+string(generated.Body))
		}
		return all
	}
	first := requests()
	require.Equal(t, first, requests())
}

// TestSandboxChecksAlteredRequests: of a request whose path was altered, it is not known which operation it has.
func TestSandboxChecksAlteredRequests(t *testing.T) {
	t.Parallel()
	_, target := startHarbour(t)
	sandbox := sandboxOf(t, target)
	random := rand.New(rand.NewPCG(5, 6))
	var good, bad *conformance.GeneratedRequest
	for good == nil || bad == nil {
		generated, err := sandbox.Generate(random)
		require.NoError(t, err)
		if generated.Refused {
			bad = generated
		} else {
			good = generated
		}
	}
	received := func(status int, body string) conformance.Received {
		return conformance.Received{
			Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body),
		}
	}
	removed, refused := received(http.StatusOK, `{"Message":"Removed"}`), received(http.StatusUnauthorized, `{"Message":"Not for you"}`)
	require.Empty(t, sandbox.CheckUnknown(good, removed))
	require.Empty(t, sandbox.CheckUnknown(good, refused))
	require.Empty(t, sandbox.CheckUnknown(bad, refused))
	require.NotEmpty(t, sandbox.CheckUnknown(bad, removed), "no operation accepts everybody")
	require.NotEmpty(t, sandbox.CheckUnknown(good, received(http.StatusTeapot, `{}`)))
}
