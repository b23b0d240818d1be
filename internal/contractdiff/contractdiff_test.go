package contractdiff_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/contractdiff"
)

// contract is the old version, from which each test makes a new one.
const contract = `openapi: 3.0.3
info: {title: Teams, version: 1.0.0}
paths:
  /teams/{id}:
    put:
      operationId: updateTeam
      tags: [Teams]
      x-permission: {object: teams, level: read}
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
        - {name: dry_run, in: query, schema: {type: boolean}}
      requestBody:
        content:
          application/json:
            schema: {$ref: '#/components/schemas/TeamRequest'}
      responses:
        '200':
          description: The team.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Team'}
              examples:
                ok: {value: {name: Red}}
        '404':
          description: None.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Problem'}
              examples:
                not_found: {value: {Message: No such team}}
  /teams:
    get:
      operationId: listTeams
      tags: [Teams]
      responses:
        '200':
          description: The teams.
          content:
            application/json:
              schema: {type: array, items: {$ref: '#/components/schemas/Team'}}
components:
  schemas:
    Problem: {type: object, properties: {Message: {type: string}}}
    Team:
      type: object
      required: [name]
      properties:
        name: {type: string}
        size: {type: integer}
    TeamRequest:
      type: object
      properties:
        name: {type: string}
        size: {type: integer}
`

func write(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// edit returns the contract with the first occurrence of each old text replaced by the new one that follows it.
func edit(t *testing.T, oldAndNew ...string) string {
	t.Helper()
	text := contract
	for i := 0; i < len(oldAndNew); i += 2 {
		require.Contains(t, text, oldAndNew[i])
		text = strings.Replace(text, oldAndNew[i], oldAndNew[i+1], 1)
	}
	return text
}

func compare(t *testing.T, before, after string) []contractdiff.Change {
	t.Helper()
	dir := t.TempDir()
	old, err := contractdiff.Load(write(t, filepath.Join(dir, "old.yaml"), before))
	require.NoError(t, err)
	updated, err := contractdiff.Load(write(t, filepath.Join(dir, "new.yaml"), after))
	require.NoError(t, err)
	changes, err := contractdiff.Compare(old, updated)
	require.NoError(t, err)
	return changes
}

// TestWords has the changes of each kind that the contracts see, in words. A line begins with a ! if it is breaking.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		edits []string
		words []string
	}{
		{"nothing", nil, nil},
		{"description", []string{"The team.", "This team."}, nil},
		{"version", []string{"version: 1.0.0", "version: 1.0.1"}, nil},
		{
			"removed request property",
			[]string{"        name: {type: string}\n        size: {type: integer}\n", "        name: {type: string}\n"},
			[]string{
				"!GET /teams removed the optional property `items/size` from the response with the `200` status",
				"!PUT /teams/{id} removed the optional property `size` from the response with the `200` status",
			},
		},
		{
			"removed request property",
			[]string{"    TeamRequest:\n      type: object\n      properties:\n        name: {type: string}\n", "    TeamRequest:\n      type: object\n      properties:\n"},
			[]string{"!PUT /teams/{id} removed the request property `name`"},
		},
		{
			"added request property",
			[]string{"    TeamRequest:\n      type: object\n      properties:\n", "    TeamRequest:\n      type: object\n      properties:\n        colour: {type: string}\n"},
			[]string{"PUT /teams/{id} added the new optional request property `colour`"},
		},
		{
			"required request property",
			[]string{"    TeamRequest:\n      type: object\n", "    TeamRequest:\n      type: object\n      required: [size]\n"},
			[]string{"!PUT /teams/{id} the request property `size` became required"},
		},
		{
			"type of a request property",
			[]string{"    TeamRequest:\n      type: object\n      properties:\n        name: {type: string}", "    TeamRequest:\n      type: object\n      properties:\n        name: {type: integer}"},
			[]string{"!PUT /teams/{id} the `name` request property `type` changed from `string` to `integer`"},
		},
		{
			"removed parameter",
			[]string{"        - {name: dry_run, in: query, schema: {type: boolean}}\n", ""},
			[]string{"!PUT /teams/{id} deleted the `query` request parameter `dry_run`"},
		},
		{
			"renamed path parameter", []string{"/teams/{id}", "/teams/{teamId}", "name: id", "name: teamId"}, nil,
		},
		{
			"renamed operation",
			[]string{"updateTeam", "changeTeam"},
			[]string{"!PUT /teams/{id} API operation id `updateTeam` removed and replaced with `changeTeam`"},
		},
		{
			"removed operation",
			[]string{"  /teams:\n    get:", "  /teams:\n    post:"},
			[]string{"!GET /teams API removed without deprecation", "POST /teams endpoint added"},
		},
		{
			"removed status",
			[]string{"        '404':", "        '410':"},
			[]string{
				"!PUT /teams/{id} removed the non-success response with the status `404`",
				"!PUT /teams/{id} the outcome `not_found` has the status `410` instead of `404`",
				"PUT /teams/{id} added the non-success response with the status `410`",
			},
		},
		{
			"renamed outcome",
			[]string{"not_found:", "no_team:"},
			[]string{
				"PUT /teams/{id} added the outcome `no_team` with the status `404`",
				"PUT /teams/{id} removed the outcome `not_found` with the status `404`",
			},
		},
		{
			"message",
			[]string{"No such team", "Not found"},
			[]string{"PUT /teams/{id} the outcome `not_found` has the message \"Not found\" instead of \"No such team\""},
		},
		{
			"higher level of a permission",
			[]string{"level: read", "level: write"},
			[]string{"!PUT /teams/{id} needs `teams: write` instead of `teams: read`"},
		},
		{
			"permission of another object",
			[]string{"object: teams", "object: users"},
			[]string{"!PUT /teams/{id} needs `users: read` instead of `teams: read`"},
		},
		{
			"permission for oneself",
			[]string{"level: read}", "level: read, self: true}"},
			[]string{"PUT /teams/{id} needs `teams: read`, or one's own instead of `teams: read`"},
		},
		{
			"no permission",
			[]string{"      x-permission: {object: teams, level: read}\n", ""},
			[]string{"PUT /teams/{id} needs no permission instead of `teams: read`"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var words []string
			for _, change := range compare(t, contract, edit(t, test.edits...)) {
				mark := ""
				if change.Breaking {
					mark = "!"
				}
				words = append(words, mark+change.Method+" "+change.Path+" "+change.Text)
				require.NotEmpty(t, change.Check)
				require.NotZero(t, change.Line, "%s has no position", change)
			}
			require.Equal(t, test.words, words)
		})
	}
}

// TestFirstPermission checks that an operation that everybody could call does not become a secret one unnoticed.
func TestFirstPermission(t *testing.T) {
	t.Parallel()
	changes := compare(t, edit(t, "      x-permission: {object: teams, level: read}\n", ""), contract)
	require.Len(t, changes, 1)
	require.Equal(t, "permission-tightened PUT /teams/{id} needs `teams: read` instead of no permission", changes[0].String())
	require.True(t, changes[0].Breaking)
}

// repository writes a small repository around the contract.
func repository(t *testing.T, teams string) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module gatehouse\n")
	write(t, filepath.Join(root, "openapi", "teams.yaml"), teams)
	write(t, filepath.Join(root, "openapi", "teams.codegen.yaml"), "package: teams\n")
	write(t, filepath.Join(root, "openapi", ".spectral.yaml"), "extends: spectral:oas\n")
	write(t, filepath.Join(root, "openapi", "health.yaml"), `openapi: 3.0.3
info: {title: Health, version: 1.0.0}
paths: {/health: {get: {operationId: getHealth, responses: {'200': {description: OK}}}}}
`)
	write(t, filepath.Join(root, "migrations", "001_teams.sql"), `-- colour is in a comment only
CREATE TABLE teams (
    name text NOT NULL,
    size bigint NOT NULL
);
`)
	write(t, filepath.Join(root, "server", "teams.go"), `package server

func (s *Server) ListTeams(r *request) reply { return nil }

func (s *Server) UpdateTeam(r *request, id string) reply { return nil }
`)
	write(t, filepath.Join(root, "server", "system.go"), `package server

func (s *Server) GetHealth(r *request) reply { return nil }

func (s *Server) Close() error { return nil }

func (o *other) Handle(r *request) reply { return nil }
`)
	write(t, filepath.Join(root, "server", "teams_test.go"), "package server\n\nfunc (s *Server) Tested(r *request) reply { return nil }\n")
	write(t, filepath.Join(root, "openapi", "scenarios", "common.yaml"), "kinds: {ok: {}}\n")
	write(t, filepath.Join(root, "openapi", "scenarios", "teams.yaml"), "updateTeam:\n  not_found: {path: {id: nope}}\n")
	return root
}

func TestReport(t *testing.T) {
	t.Parallel()
	old := write(t, filepath.Join(t.TempDir(), "teams.yaml"), contract)
	root := repository(t, edit(t, "  /teams:\n    get:\n      operationId: listTeams\n", "  /teams:\n    post:\n      operationId: createTeam\n",
		"        size: {type: integer}\n", "        colour: {type: string}\n",
		"        size: {type: integer}\n", "        colour: {type: string}\n"))
	updated := filepath.Join(root, "openapi", "teams.yaml")
	result, err := contractdiff.Diff(old, updated, root)
	require.NoError(t, err)
	require.Equal(t, 3, result.Breaking())
	var out strings.Builder
	require.NoError(t, result.Write(&out))
	require.Equal(t, `Breaking changes:

  GET /teams (listTeams)
    API removed without deprecation (OLD:32)
  PUT /teams/{id} (updateTeam)
    removed the optional property `+"`size`"+` from the response with the `+"`200`"+` status (OLD:49)
    removed the request property `+"`size`"+` (OLD:54)

Other changes:

  POST /teams (createTeam)
    endpoint added (NEW:32)
  PUT /teams/{id} (updateTeam)
    added the new optional request property `+"`colour`"+` (NEW:54)
    added the optional property `+"`colour`"+` to the response with the `+"`200`"+` status (NEW:49)

Left to do in this repository, after go generate ./...:

  NEW:32: createTeam has no handler: write the method CreateTeam of Server in server/teams.go
  NEW:54: TeamRequest.colour: no column has the name of this property; if it is stored, add a migration
  migrations/001_teams.sql:4: Team.size, TeamRequest.size: this property is gone; its column may go in a new migration
  server/teams.go:3: no operation needs the handler ListTeams: delete it, or rename it as its operation was

3 breaking changes, 3 other changes, 4 left to do.
`, strings.NewReplacer(old, "OLD", updated, "NEW").Replace(out.String()))
}

// TestReportElsewhere lists nothing for the module of somebody else, whose folders have the same names.
func TestReportElsewhere(t *testing.T) {
	t.Parallel()
	root := repository(t, edit(t, "                not_found: {", "                no_team: {"))
	path := filepath.Join(root, "openapi", "teams.yaml")
	old := write(t, filepath.Join(t.TempDir(), "teams.yaml"), contract)
	result, err := contractdiff.Diff(old, path, root)
	require.NoError(t, err)
	require.NotEmpty(t, result.Left)
	write(t, filepath.Join(root, "go.mod"), "module example.com/teams\n")
	result, err = contractdiff.Diff(old, path, root)
	require.NoError(t, err)
	require.Empty(t, result.Left)
}

// TestOutcomesWithoutScenario lists outcomes that no scenario makes happen, and scenarios of outcomes that are gone. A
// scenario of an outcome that is gone hides no new outcome.
func TestOutcomesWithoutScenario(t *testing.T) {
	t.Parallel()
	old := write(t, filepath.Join(t.TempDir(), "teams.yaml"), contract)
	const known = "                not_found: {value: {Message: No such team}}\n"
	const added = "                no_team: {value: {Message: No such team}}\n                archived: {value: {Message: Archived}}\n"
	const lacking = "NEW:27: updateTeam 404 has no scenario for archived, no_team: add one below updateTeam in openapi/scenarios/teams.yaml"
	var root, updated string
	for replacement, want := range map[string][]string{
		known + added: {lacking},
		added:         {lacking, `openapi/scenarios/teams.yaml:2: updateTeam documents no outcome "not_found"`},
	} {
		root = repository(t, edit(t, known, replacement))
		updated = filepath.Join(root, "openapi", "teams.yaml")
		result, err := contractdiff.Diff(old, updated, root)
		require.NoError(t, err)
		var left []string
		for _, task := range result.Left {
			require.NotZero(t, task.Line, task)
			left = append(left, strings.ReplaceAll(task.String(), updated, "NEW"))
		}
		require.Equal(t, want, left)
	}
	write(t, filepath.Join(root, "openapi", "scenarios", "teams.yaml"), "updateTeam: [\n")
	result, err := contractdiff.Diff(old, updated, root)
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(result.Left), "openapi/scenarios/teams.yaml:2: not YAML: ")
}

// TestReadableValues: values are printed as JSON, and computed properties of responses need no column.
func TestReadableValues(t *testing.T) {
	t.Parallel()
	request := "    TeamRequest:\n      type: object\n      properties:\n"
	added := request + "        limits: {type: object, default: {}}\n        tags: {type: array, items: {type: string}, default: [a]}\n" +
		"        motto: {type: string, default: ''}\n"
	response := "      required: [name]\n      properties:\n"
	before := edit(t, request, strings.NewReplacer(", default: {}", "", ", default: [a]", "", ", default: ''", "").Replace(added))
	after := strings.Replace(edit(t, request, added), response, response+"        wins: {type: integer}\n", 1)
	var words []string
	for _, change := range compare(t, before, after) {
		words = append(words, change.Text)
	}
	require.Contains(t, words, "the `limits` request property default value `{}` was added")
	require.Contains(t, words, "the `tags` request property default value `[\"a\"]` was added")
	require.Contains(t, words, "the `motto` request property default value `\"\"` was added")
	require.NotContains(t, strings.Join(words, "\n"), "map[")

	root := repository(t, after)
	result, err := contractdiff.Diff(write(t, filepath.Join(t.TempDir(), "teams.yaml"), before), filepath.Join(root, "openapi", "teams.yaml"), root)
	require.NoError(t, err)
	require.Empty(t, result.Left, "wins is in responses only")
}

// TestSharedChange changes a component of many responses, which is reported once.
func TestSharedChange(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("openapi: 3.0.3\ninfo: {title: Many, version: 1.0.0}\npaths:\n")
	problem := func(status int) string {
		return fmt.Sprintf("        '%d':\n          description: No.\n          content: {application/json: {schema: {$ref: '#/components/schemas/Problem'}}}\n", status)
	}
	for i := range 12 {
		fmt.Fprintf(&text, "  /things/%d:\n    get:\n      operationId: getThingOfAVeryLongName%d\n      responses:\n", i, i)
		text.WriteString(problem(400) + problem(500))
	}
	text.WriteString("  /other:\n    get:\n      responses:\n" + problem(404))
	text.WriteString("components: {schemas: {Problem: {type: object, properties: {Message: {type: string}}}}}\n")
	dir := t.TempDir()
	old := write(t, filepath.Join(dir, "old.yaml"), text.String())
	updated := write(t, filepath.Join(dir, "new.yaml"), strings.Replace(text.String(), "Message: {type: string}", "Message: {type: integer}", 1))
	result, err := contractdiff.Diff(old, updated, dir)
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, result.Write(&out))
	require.Equal(t, `Breaking changes:

  several operations
    the `+"`Message` response's property `type` changed from `string` to `integer` for status `400`, `404`, `500`"+` (NEW:130)
      GET /other, getThingOfAVeryLongName0, getThingOfAVeryLongName1, getThingOfAVeryLongName10,
      getThingOfAVeryLongName11, getThingOfAVeryLongName2, getThingOfAVeryLongName3,
      getThingOfAVeryLongName4, getThingOfAVeryLongName5, getThingOfAVeryLongName6,
      getThingOfAVeryLongName7, getThingOfAVeryLongName8, getThingOfAVeryLongName9

25 breaking changes, 0 other changes.
`, strings.ReplaceAll(out.String(), updated, "NEW"))
}

func TestReportOfNothing(t *testing.T) {
	t.Parallel()
	root := repository(t, contract)
	path := filepath.Join(root, "openapi", "teams.yaml")
	result, err := contractdiff.Diff(path, path, root)
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, result.Write(&out))
	require.Equal(t, "0 breaking changes, 0 other changes.\n", out.String())
}

// TestElsewhere checks that nothing is left to do for a contract of somebody else.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := write(t, filepath.Join(dir, "theirs.yaml"), contract)
	updated := write(t, filepath.Join(dir, "new", "theirs.yaml"), edit(t, "listTeams", "getTeams"))
	for _, root := range []string{dir, repository(t, contract)} {
		result, err := contractdiff.Diff(old, updated, root)
		require.NoError(t, err)
		require.Empty(t, result.Left)
		require.Len(t, result.Changes, 1)
	}
}

func TestDiffErrors(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "old.yaml"), contract)
	for source, message := range map[string]string{
		"missing.yaml":                  "load missing.yaml: open missing.yaml: no such file or directory",
		"HEAD:openapi/missing.yaml":     "load HEAD:openapi/missing.yaml:",
		"no-such-branch:openapi/a.yaml": "load no-such-branch:openapi/a.yaml:",
	} {
		_, err := contractdiff.Diff(source, path, ".")
		require.ErrorContains(t, err, message)
		require.NotContains(t, err.Error(), "--fetch", "which is a flag of another program")
		require.NotContains(t, err.Error(), "\n")
		_, err = contractdiff.Diff(path, source, ".")
		require.ErrorContains(t, err, message)
	}
}

// TestRepositoryIsComplete checks that this repository has a handler for each operation, and no other handlers, and a
// scenario for each outcome.
func TestRepositoryIsComplete(t *testing.T) {
	t.Parallel()
	const root = "../.."
	spec, err := contractdiff.Load(root + "/openapi/admin.yaml")
	require.NoError(t, err)
	left, err := contractdiff.Left(root, "admin.yaml", spec, spec)
	require.NoError(t, err)
	require.Empty(t, left)
	result, err := contractdiff.Diff(root+"/openapi/node.yaml", root+"/openapi/node.yaml", root)
	require.NoError(t, err)
	require.Equal(t, contractdiff.Result{}, result, "each outcome has a scenario")
}

// TestRevision reads a contract, with the files it refers to, at a revision of this repository.
func TestRevision(t *testing.T) {
	t.Parallel()
	spec, err := contractdiff.Load("HEAD:openapi/dashboard.yaml")
	require.NoError(t, err)
	require.NotNil(t, spec.Paths.Value("/api/users"))
}

// TestExamplesOfOneName has the examples of another contract, which are not outcomes: several statuses have the same
// name.
func TestExamplesOfOneName(t *testing.T) {
	t.Parallel()
	before := edit(t, "not_found: {value", "ok: {value")
	for range 10 { // the order of the statuses is not that of the file
		require.Empty(t, compare(t, before, before))
	}
	gone := strings.Replace(before, "ok: {value: {Message: No such team}}", "none: {value: {Message: No such team}}", 1)
	var words []string
	for _, change := range compare(t, before, gone) {
		require.False(t, change.Breaking, change)
		words = append(words, change.Text)
	}
	require.Equal(t, []string{
		"added the outcome `none` with the status `404`", "removed the outcome `ok` with the status `404`",
	}, words)
	other := strings.Replace(before, "No such team", "No team", 1)
	changes := compare(t, before, other)
	require.Len(t, changes, 1)
	require.Equal(t, "the outcome `ok` has the message \"No team\" instead of \"No such team\"", changes[0].Text)
}

// TestUnusableContract loads contracts whose comparison would not end or panic.
func TestUnusableContract(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "team.yaml"), edit(t, "    Team:\n", "    Team:\n      allOf: [{$ref: '#/components/schemas/Team'}]\n"))
	_, err := contractdiff.Load(path)
	require.ErrorContains(t, err, "components/schemas/Team: the schema is composed of itself")
	parts := write(t, filepath.Join(t.TempDir(), "parts.yaml"), "openapi: 3.0.3\ninfo: {title: Parts, version: '1'}\ncomponents: {}\n")
	result, err := contractdiff.Diff(parts, parts, t.TempDir())
	require.NoError(t, err, "a file of parts can be compared, too")
	require.Empty(t, result.Changes)
}
