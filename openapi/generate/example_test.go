package generate_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"gatehouse/openapi/generate"
)

// A module with one contract, of one operation.
var module = map[string]string{
	"go.mod": "module example.com/teams\n",
	"openapi/teams.yaml": `openapi: 3.0.3
info: {title: Teams, version: 1.0.0}
paths: {/teams: {get: {operationId: listTeams, responses: {'204': {description: No teams., x-outcome: ok}}}}}
`,
	"openapi/teams.codegen.yaml": "package: api\noutput: api/api.gen.go\n",
}

func ExampleRun() {
	root, err := os.MkdirTemp("", "gatehouse-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(root)
	for name, text := range module {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			fmt.Println(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			fmt.Println(err)
		}
	}

	result, err := generate.Run(context.Background(), filepath.Join(root, "openapi"))
	fmt.Println(result.Faults, result.Written, err)
	// Output: [] [api/api.gen.go] <nil>
}
