package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// admin runs a command that calls the admin API of the server.
func (s *server) admin(args ...string) (status int, out, log string) {
	s.t.Helper()
	return runCommand(s.t, append(args, "--url", "http://"+s.address, "--secret-file", secretFile(s.t, s.adminSecret()))...)
}

// writeFiles writes files to a new folder.
func writeFiles(t *testing.T, files map[string]string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return folder
}

// documentsOf is what a server exports, without its users.
func (s *server) documentsOf() map[string]string {
	s.t.Helper()
	all := s.exported()
	for name := range all {
		if strings.HasPrefix(name, "user ") {
			delete(all, name)
		}
	}
	return all
}

// TestExportAndApply moves everything to a server by files, byte for byte, and changes nothing the second time.
func TestExportAndApply(t *testing.T) {
	t.Parallel()
	from, to := startServer(t), startServer(t)
	from.fill()
	folder := filepath.Join(t.TempDir(), "wanted")
	status, out, log := from.admin("export", folder)
	require.Zero(t, status, log)
	require.Regexp(t, `(?m)^APIs +3002$`, out)
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, path)
		if !entry.IsDir() {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, string(content), "access_key", path)
		}
		return nil
	}))
	status, _, log = from.admin("export", folder)
	require.Equal(t, 1, status)
	require.Contains(t, log, "is not empty")

	status, out, log = from.admin("diff", "-f", folder)
	require.Zero(t, status, out+log)
	require.Equal(t, "0 to create, 0 to update, 0 to delete, 6040 unchanged\n", out)

	keys := filepath.Join(t.TempDir(), "keys")
	status, out, log = to.admin("diff", "-f", folder)
	require.Equal(t, 3, status, log)
	require.Contains(t, out, "6040 to create, 0 to update, 0 to delete, 0 unchanged\n")
	require.Empty(t, to.users(), "diff changes nothing")
	status, out, log = to.admin("apply", "-f", folder, "--access-keys", keys)
	require.Zero(t, status, log)
	require.Contains(t, out, "6040 created, 0 updated, 0 deleted, 0 unchanged\n")
	require.NotContains(t, out, keyOf(to, "", "root@rivermouth.example"))

	// Files of a folder have no order: the lists have another one.
	require.Equal(t, sortedElements(t, from.documentsOf()), sortedElements(t, to.documentsOf()))
	info, err := os.Stat(keys)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	content, err := os.ReadFile(keys)
	require.NoError(t, err)
	require.Equal(t, 33, bytes.Count(content, []byte("\n")))
	require.Contains(t, string(content), `"access_key":"`+keyOf(to, largeOrganisation, "u7@rivermouth.example")+`"`)

	status, out, log = to.admin("apply", "-f", folder)
	require.Zero(t, status, log)
	require.Equal(t, "0 created, 0 updated, 0 deleted, 6040 unchanged\n", out)
}

// sortedElements returns exports with the elements of their lists in no order, each as its bytes.
func sortedElements(t *testing.T, exports map[string]string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for name, export := range exports {
		var lists map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(export), &lists))
		for member, raw := range lists {
			var elements []json.RawMessage
			if json.Unmarshal(raw, &elements) != nil {
				all[name+" "+member] = string(raw)
			}
			for _, element := range elements {
				all[name+" "+string(element)] = true
			}
		}
	}
	return all
}

const wantedAPIs = `# two APIs
api_definition:
  api_id: tides
  org_id: ` + emptyOrganisation + `
  name: Tide tables
  active: true
  proxy: {listen_path: /tides/, target_url: http://tides.example}
---
api_definition:
  api_id: moon
  org_id: ` + emptyOrganisation + `
  version: 1.50
`

// wanted are files of an organisation with users, APIs, policies and a key.
func wanted() map[string]string {
	return map[string]string{
		"README.md":            "not read",
		".git/config.json":     "not read",
		"organisation.json":    `{"id":"` + emptyOrganisation + `","owner_name":"Rivermouth Foods"}`,
		"users/all.yaml":       "users:\n- email_address: Ines@rivermouth.example\n  org_id: " + emptyOrganisation + "\n  active: true\n",
		"apis/tides.yml":       wantedAPIs,
		"policies/gold.json":   `{"Data":[{"id":"gold","org_id":"` + emptyOrganisation + `","rate":3,"per":60,"access_rights":{}}],"Pages":0}`,
		"policies/more.json":   `{"id":"silver","org_id":"` + emptyOrganisation + `","access_rights":{}} {"id":"bronze","org_id":"` + emptyOrganisation + `","access_rights":null}`,
		"organisation-key.yml": "key_id: " + emptyOrganisation + "\ndata: {rate: 5, per: 60}\n",
	}
}

// TestApplyChanges changes what differs, and deletes by name only.
func TestApplyChanges(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	files := wanted()
	status, out, log := s.admin("apply", "-f", writeFiles(t, files))
	require.Zero(t, status, log)
	require.Contains(t, out, "8 created, 0 updated, 0 deleted, 0 unchanged\n")
	status, out, log = s.admin("apply", "-f", writeFiles(t, files))
	require.Zero(t, status, log)
	require.Equal(t, "0 created, 0 updated, 0 deleted, 8 unchanged\n", out)
	_, before := s.get("/admin/apis", "Admin-Auth", s.adminSecret())
	require.Contains(t, before, `"version":1.50`, "numbers keep their text")

	files["apis/tides.yml"] = strings.Replace(wantedAPIs, "tides.example", "new.example", 1)
	files["organisation.json"] = `{"owner_name":"Rivermouth Foods","id":"` + emptyOrganisation + `","cname":"portal.example"}`
	files["users/all.yaml"] += "  first_name: Ines\n  user_permissions: {apis: read}\n"
	files["policies/more.json"] = ""
	files["organisation-key.yml"] = strings.Replace(files["organisation-key.yml"], "rate: 5", "rate: 6", 1)
	folder := writeFiles(t, files)
	status, out, log = s.admin("diff", "-f", folder)
	require.Equal(t, 3, status, log)
	require.Regexp(t, `(?m)^update +organisation +`+emptyOrganisation+` +`+emptyOrganisation+` +~/cname$`, out)
	require.Regexp(t, `(?m)^update +user +`+emptyOrganisation+` +ines@rivermouth.example +~/first_name -/user_permissions/IsAdmin -/user_permissions/ResetPassword \+/user_permissions/apis$`, out)
	require.Regexp(t, `(?m)^update +API +`+emptyOrganisation+` +tides +~/api_definition/proxy/target_url$`, out)
	require.Regexp(t, `(?m)^update +organisation key +`+emptyOrganisation+` +`+emptyOrganisation+` +~/rate$`, out)
	require.Contains(t, out, "0 to create, 4 to update, 0 to delete, 2 unchanged, 2 not in the files\n")
	require.NotContains(t, out+log, "new.example", "values may be secrets")
	status, out, log = s.admin("apply", "-f", folder)
	require.Zero(t, status, log)
	require.Contains(t, out, "0 created, 4 updated, 0 deleted, 2 unchanged, 2 not in the files\n")
	_, after := s.get("/admin/apis", "Admin-Auth", s.adminSecret())
	require.Equal(t, strings.Replace(before, "tides.example", "new.example", 1), after, "IDs in the database are kept")

	other := s.newOrganisation()
	s.importAll("/admin/apis/import", "apis", []string{
		`{"api_definition":{"api_id":"another's","org_id":"` + other + `"}}`,
		`{"api_definition":{"api_id":"surplus","org_id":"` + emptyOrganisation + `"}}`,
	})
	status, out, log = s.admin("diff", "-f", folder, "--prune", "policies")
	require.Equal(t, 3, status, log)
	require.Contains(t, out, "0 to create, 0 to update, 2 to delete, 6 unchanged, 1 not in the files\n")
	status, out, log = s.admin("apply", "-f", folder, "--prune", "policies,apis,users,keys", "-o", "json")
	require.Zero(t, status, log)
	var plan struct {
		Changes []struct{ Action, Kind, ID string }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &plan))
	require.Len(t, plan.Changes, 3)
	require.Equal(t, "delete", plan.Changes[0].Action)
	_, after = s.get("/admin/apis", "Admin-Auth", s.adminSecret())
	require.NotContains(t, after, `"surplus"`)
	require.Contains(t, after, `"another's"`)
	_, policies := s.get("/admin/policies", "Admin-Auth", s.adminSecret())
	require.NotContains(t, policies, "silver")
	require.Contains(t, policies, "gold")

	status, _, log = s.admin("diff", "-f", folder, "--prune", "organisations")
	require.Equal(t, 2, status)
	require.Contains(t, log, `--prune: "organisations" is not one of users, apis, policies, keys`)

	// Without the document of the organisation, nothing of it is deleted, and what is left belongs to one that exists.
	delete(files, "organisation.json")
	delete(files, "policies/gold.json")
	status, out, log = s.admin("diff", "-f", writeFiles(t, files), "--prune", "policies,apis")
	require.Zero(t, status, log)
	require.Equal(t, "0 to create, 0 to update, 0 to delete, 4 unchanged\n", out)
}

// TestFilesAtFault names faults by their places, and changes nothing.
func TestFilesAtFault(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	faults := map[string]struct {
		file, content, want string
	}{
		"syntax of JSON":   {"a.json", "{\"id\":\n  01}", "a.json:2:4: "},
		"second value":     {"a.json", "{\"id\":\"x\",\"owner_name\":\"\"}\n  {\"b\":}", "a.json:2:8: "},
		"syntax of YAML":   {"a.yaml", "# one\n---\nb: 2\n\tc: 3\n", "a.yaml:4:1: the document is not valid YAML: found a tab"},
		"repeated in YAML": {"a.yaml", "a: 1\nb: 2\na: 3\n", `a.yaml:3:1: the document is not valid YAML: the member "a" is repeated`},
		"type in an API": {
			"a.json", "{\"apis\": [\n  {\"api_definition\": {\"api_id\": \"x\",\n    \"org_id\": \"y\", \"name\": 5}}]}",
			"a.json:3:28: /api_definition/name: value must be a string",
		},
		"type in YAML": {
			"a.yml", "# an API\n---\napi_definition:\n  api_id: x\n  proxy: {listen_path: 7}\n",
			"a.yml:5:24: /api_definition/proxy/listen_path: value must be a string",
		},
		"type in a user": {
			"a.yml", "users:\n- email_address: a@b.example\n  org_id: \"\"\n  active: 1\n", "a.yml:4:11: /active: value must be a boolean",
		},
		"no organisation": {"a.json", `{"api_definition":{"api_id":"x"}}`, "a.json:1:19: the API names no organisation: org_id is missing"},
		"no ID":           {"a.json", `{"access_rights":{},"org_id":"x"}`, "a.json:1:1: /id or /_id: is missing"},
		"bad ID":          {"a.json", `{"owner_name":"x","id":"X"}`, "a.json:1:24: /id: must be 24 hexadecimal digits"},
		"password": {
			"a.json", `{"email_address":"a@b.example","org_id":"","password":"secret-word"}`, "a.json:1:55: /password: passwords are not stored from files",
		},
		"no kind":        {"a.json", `{"name":"x"}`, "a.json:1:1: is no export and no document of one"},
		"wrong list":     {"a.json", `{"apis":{},"pages":0}`, `a.json:1:9: "apis" is not a list`},
		"unknown member": {"a.json", `{"apis":[],"policies":[]}`, `a.json:1:23: "policies" is no member of an export`},
		"unknown organisation": {
			"a.json", "\n" + `{"api_definition":{"api_id":"x","org_id":"61df10078f11dd00097cffff"}}`,
			`a.json:2:1: the API "x" is of organisation "61df10078f11dd00097cffff", which neither the files nor the server have`,
		},
		"twice": {
			"z.json", `{"id":"` + emptyOrganisation + `","owner_name":"again"}`,
			`z.json:1:1: the organisation "` + emptyOrganisation + `" is at `,
		},
	}
	t.Run("faults", func(t *testing.T) { // which ends when all of its parts have
		for name, test := range faults {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				files := wanted()
				files[test.file] = test.content
				folder := writeFiles(t, files)
				status, out, log := s.admin("apply", "-f", folder)
				require.Equal(t, 1, status, log)
				require.Empty(t, out)
				require.Contains(t, log, filepath.Join(folder, test.want))
				require.Contains(t, log, "nothing was changed")
				require.NotContains(t, log, "secret-word")
			})
		}
	})
	status, body := s.get("/admin/organisations", "Admin-Auth", s.adminSecret())
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"organisations":[],"pages":0}`, body)
}

// TestApplyNamesRefusals names what the server refuses by its file, and changes the rest.
func TestApplyNamesRefusals(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	other := s.newOrganisation()
	s.importAll("/admin/apis/import", "apis", []string{`{"api_definition":{"api_id":"moon","org_id":"` + other + `"}}`})
	folder := writeFiles(t, wanted())
	status, out, log := s.admin("apply", "-f", folder)
	require.Equal(t, 1, status)
	require.Contains(t, out, "7 created, 0 updated, 0 deleted, 0 unchanged\n")
	require.Contains(t, log, "gatehouse: "+filepath.Join(folder, "apis/tides.yml")+`:9:1: create API moon of organisation "`+emptyOrganisation+`" failed: `)
	require.Contains(t, log, "the id belongs to another organisation")
}

// TestExportOfIDsThatShareAName: an ID may be the name that the file of another one would have.
func TestExportOfIDsThatShareAName(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	org, sum := s.newOrganisation(), sha256.Sum256([]byte("Tides"))
	s.importAPI(org, "Tides")
	s.importAPI(org, "tides-"+hex.EncodeToString(sum[:6]))
	folder := t.TempDir()
	status, _, log := s.admin("export", folder)
	require.Zero(t, status, log)
	status, out, log := s.admin("diff", "-f", folder)
	require.Zero(t, status, out+log)
	require.Equal(t, "0 to create, 0 to update, 0 to delete, 3 unchanged\n", out)
}

// TestExportOfOneOrganisation writes nothing of another one, and no super users.
func TestExportOfOneOrganisation(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.fill()
	folder := t.TempDir()
	status, out, log := s.admin("export", folder, "--org", hostileOrganisation)
	require.Zero(t, status, log)
	require.Regexp(t, `(?m)^APIs +2$`, out)
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, hostileOrganisation, entries[0].Name())
	status, out, log = s.admin("diff", "-f", folder)
	require.Zero(t, status, log)
	require.Equal(t, "0 to create, 0 to update, 0 to delete, 6 unchanged\n", out)

	status, _, log = s.admin("export", filepath.Join(t.TempDir(), "x"), "--org", "61df10078f11dd00097cfffe")
	require.Equal(t, 1, status)
	require.Contains(t, log, "organisation 61df10078f11dd00097cfffe: GET /admin/organisations/{orgID}: 404 Not Found: Could not retrieve org detail")
}
