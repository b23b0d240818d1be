package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// boats is a contract as others write it: without operationIds and named examples.
const boats = `openapi: 3.0.3
info: {title: Boats, version: 1.0.0}
paths:
  /boats:
    get:
      responses:
        '200': {description: The boats., content: {application/json: {schema: {type: array, items: {type: string}}}}}
        default: {description: No boats., content: {text/html: {schema: {type: string}}}}
`

// writeBoats writes the contract of boats to a file, with some texts replaced.
func writeBoats(t *testing.T, oldAndNew ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "boats.yaml")
	require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(oldAndNew...).Replace(boats)), 0o600))
	return path
}

func TestContractLint(t *testing.T) {
	t.Parallel()
	const misspelt = "openapi: 3.0.3\n"
	t.Run("what gatehouse asks is no fault", func(t *testing.T) {
		t.Parallel()
		path := writeBoats(t)
		status, out, log := run(t, "contract", "lint", path)
		require.Zero(t, status, log)
		require.Equal(t, `
OpenAPI 3.0 allows what follows; gatehouse asks for more. --all prints each place.

  operation-id: 1 place, the first at `+path+`:5:5
    An operation without an operationId is called by its method and path.
  outcome: 1 place, the first at `+path+`:7:9
    A response without a named example is no outcome: contract check does not make it happen.

0 faults, 2 places beyond OpenAPI.
`, out)
	})
	t.Run("each place, and strictly", func(t *testing.T) {
		t.Parallel()
		path := writeBoats(t)
		for _, flag := range []string{"--all", "--strict"} {
			status, out, log := run(t, "contract", "lint", flag, path)
			require.Equal(t, flag == "--strict", status == 1, log)
			require.Contains(t, out, path+":5:5: the operation has no operationId: add one [operation-id]\n"+
				path+":7:9: the response has no named example: add one below examples [outcome]\n")
		}
	})
	t.Run("faults have a place", func(t *testing.T) {
		t.Parallel()
		path := writeBoats(t, misspelt, misspelt+"pathz: {}\n", "description: The boats.", "descriptio: The boats.")
		status, out, log := run(t, "contract", "lint", path)
		require.Equal(t, 1, status, log)
		require.Contains(t, out, path+":2:1: unknown keyword \"pathz\" (document): did you mean \"paths\"?\n")
		require.Contains(t, out, path+":8:17: unknown keyword \"descriptio\" (response): did you mean \"description\"?\n")
		require.Contains(t, out, "\n2 faults, ")
	})
	t.Run("as JSON", func(t *testing.T) {
		t.Parallel()
		path := writeBoats(t, misspelt, misspelt+"pathz: {}\n")
		status, out, log := run(t, "contract", "lint", "-o", "json", path)
		require.Equal(t, 1, status, log)
		var problems []map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &problems), out)
		require.Len(t, problems, 3)
		require.Equal(t, map[string]any{
			"file": path, "line": 2.0, "column": 1.0, "message": `unknown keyword "pathz" (document): did you mean "paths"?`,
		}, problems[0])
		require.Equal(t, "operation-id", problems[1]["rule"])
	})
	t.Run("gatehouse's own contracts keep every rule", func(t *testing.T) {
		t.Parallel()
		folder := filepath.Join("..", "..", "openapi")
		status, out, log := run(t, "contract", "lint", "--strict", filepath.Join(folder, "admin.yaml"),
			filepath.Join(folder, "dashboard.yaml"), filepath.Join(folder, "node.yaml"))
		require.Zero(t, status, log)
		require.Equal(t, "0 faults, 0 places beyond OpenAPI.\n", out)
	})
	t.Run("a file that is not there", func(t *testing.T) {
		t.Parallel()
		status, _, log := run(t, "contract", "lint", "/nowhere.yaml")
		require.Equal(t, 2, status)
		require.Equal(t, "gatehouse: open /nowhere.yaml: no such file or directory\n", log)
	})
}

// TestContractsWithFaults uses contracts with faults, which each command names with their lines.
func TestContractsWithFaults(t *testing.T) {
	t.Parallel()
	const get, withID = "    get:\n", "    get:\n      operationId: getBoats\n"
	path := writeBoats(t, get, withID, "{type: array, items: {type: string}}", "{$ref: '#/components/schemas/Boat'}")
	sound := writeBoats(t, get, withID)
	for name, args := range map[string][]string{
		"mock":  {"mock", "--contract", path},
		"proxy": {"proxy", "--contract", path, "--upstream", "http://127.0.0.1:1"},
		"check": {"check", "--contract", path, "--url", "http://127.0.0.1:1"},
		"diff":  {"diff", sound, path},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, _, log := run(t, append([]string{"contract"}, args...)...)
			require.Equal(t, 2, status)
			require.Equal(t, "gatehouse: the contract has faults:\n  "+path+
				":8:86: $ref \"#/components/schemas/Boat\" refers to nothing: there is no \"components\"\n", log)
		})
	}
}

// TestContractsWithoutOutcomes uses a contract without named examples, of which commands say what they cannot compare.
func TestContractsWithoutOutcomes(t *testing.T) {
	t.Parallel()
	path := writeBoats(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Has("wrong") {
			_, _ = w.Write([]byte(`[7]`))
			return
		}
		_, _ = w.Write([]byte(`["Marina"]`))
	}))
	t.Cleanup(server.Close)
	const unnamed = "1 of 1 operations have no named response example, and so no outcomes: "
	t.Run("check", func(t *testing.T) {
		t.Parallel()
		status, out, log := run(t, "contract", "check", "--contract", path, "--url", server.URL)
		require.Zero(t, status, log)
		require.Equal(t, unnamed+"nothing of them was checked; contract proxy compares their real traffic with the contract\n", out)
	})
	t.Run("proxy", func(t *testing.T) {
		t.Parallel()
		s := serveCommand(t, "contract", "proxy", "--contract", path, "--upstream", server.URL)
		require.Equal(t, `["Marina"]`, s.get("/boats"))
		status, out, log := s.interrupt()
		require.Zero(t, status, out+log)
		require.Contains(t, out, unnamed+"their responses were compared with statuses, headers and schemas alone\n")
	})
	t.Run("proxy of a response that departs", func(t *testing.T) {
		t.Parallel()
		s := serveCommand(t, "contract", "proxy", "--contract", path, "--upstream", server.URL)
		require.Equal(t, `[7]`, s.get("/boats?wrong=1"))
		status, out, _ := s.interrupt()
		require.Equal(t, 1, status)
		require.Contains(t, out, "DEPARTED GET /boats 200: /0: response: value must be a string\n")
	})
	t.Run("mock", func(t *testing.T) {
		t.Parallel()
		s := serveCommand(t, "contract", "mock", "--contract", path)
		require.Equal(t, `["string"]`, s.get("/boats"))
		status, _, log := s.interrupt()
		require.Zero(t, status, log)
	})
}
