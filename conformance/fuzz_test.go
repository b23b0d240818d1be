package conformance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
)

// TestFuzzFindsAndShrinks sends generated requests to a server that validates nothing.
func TestFuzzFindsAndShrinks(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	fuzz := func(seed uint64) *conformance.FuzzReport {
		report, err := conformance.Fuzz(t.Context(), toyRunner(t, toyFiles(t, "")), conformance.FuzzOptions{
			Options: conformance.Options{Target: target, Only: []string{"registerBoat"}}, Seed: seed,
			Duration: time.Minute, Requests: 200,
		})
		require.NoError(t, err)
		return report
	}
	report := fuzz(1)
	require.Equal(t, 200, report.Requests)
	require.NotEmpty(t, report.Failures)
	var text strings.Builder
	require.NoError(t, report.WriteText(&text))
	require.Contains(t, text.String(), "200 generated requests in ")
	require.Contains(t, text.String(), "(seed 1)")
	for _, failure := range report.Failures {
		curl := failure.Exchanges[len(failure.Exchanges)-1].Curl
		require.LessOrEqual(t, strings.Count(curl, `":`), 2, "a request of the smallest size: %s", curl)
		require.NotContains(t, curl, harbourKey)
	}
	require.Zero(t, h.left(), "the requests leave nothing")
	again := fuzz(1)
	require.Len(t, again.Failures, len(report.Failures), "a seed repeats the requests")
	for i := range again.Failures {
		require.Equal(t, report.Failures[i].Scenario.ID(), again.Failures[i].Scenario.ID())
	}
}
