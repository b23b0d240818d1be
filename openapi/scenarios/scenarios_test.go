package scenarios_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
	"gatehouse/openapi/scenarios"
)

// TestEveryOutcomeHasAScenario loads the scenarios, which names each outcome without one. It needs no server.
func TestEveryOutcomeHasAScenario(t *testing.T) {
	t.Parallel()
	spec, err := conformance.ReadSpec("../admin.yaml", "../dashboard.yaml", "../node.yaml")
	require.NoError(t, err)
	suite, err := conformance.Load(spec, scenarios.Files, "../../"+scenarios.Dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(suite.Scenarios), spec.Outcomes())
}
