package cli

import (
	"github.com/spf13/cobra"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/cli/contractcmd"
	"gatehouse/openapi/published"
	"gatehouse/openapi/scenarios"
)

// newContract returns the command contract.
func newContract(std Streams) *cobra.Command {
	return contractcmd.New(contractcmd.Config{
		Out: std.Out, Log: std.Log, Documents: contracts, Scenarios: scenarios.Files, ScenarioDir: scenarios.Dir,
		Published: published.Files,
	})
}

// contracts returns the contracts of gatehouse as JSON.
func contracts() ([][]byte, error) {
	var documents [][]byte
	for _, get := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON, node.GetSpecJSON} {
		document, err := get()
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
}
