package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/client"
	"gatehouse/internal/testprogram"
)

// syncFolder is what tyk-sync reads: files by name, and the index that it starts from, .tyk.json.
type syncFolder map[string]string

const (
	syncClassic = `{"api_definition":{"api_id":"classic-%[1]d","name":"Classic %[1]d","slug":"classic-%[1]d",` +
		`"active":true,"use_keyless":true,"proxy":{"listen_path":"/classic-%[1]d/","target_url":"http://127.0.0.1:1/",` +
		`"strip_listen_path":true},"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default",` +
		`"use_extended_paths":true}}}}}`
	syncOAS = `{"oas":{"openapi":"3.0.3","info":{"title":"Oas %[1]d","version":"1"},"paths":{},"components":{},` +
		`"x-tyk-api-gateway":{"info":{"id":"oas-%[1]d","name":"Oas %[1]d","state":{"active":true}},` +
		`"upstream":{"url":"http://127.0.0.1:1/"},` +
		`"server":{"listenPath":{"value":"/oas-%[1]d/","strip":true}}}},"categories":["fish","category %[1]d"]}`
	syncPolicy = `{"id":"policy-%[1]d","org_id":"1","name":"Policy %[1]d","rate":1000,"per":60,"quota_max":-1,"active":true,` +
		`"access_rights":{"classic-%[1]d":{"api_id":"classic-%[1]d","api_name":"Classic %[1]d","versions":["Default"]}}}`
	syncAsset = `{"id":"asset-%[1]d","org_id":"1","name":"Template %[1]d","kind":"oas-template","description":"",` +
		`"data":{"x-tyk-api-gateway":{"server":{"listenPath":{"strip":true}}}}}`
)

// newSyncFolder returns a folder with that many objects of each kind.
func newSyncFolder(count int) syncFolder {
	type file struct {
		File string `json:"file"`
	}
	index := struct {
		Type     string `json:"type"`
		Files    []file `json:"files"`
		Policies []file `json:"policies"`
		Assets   []file `json:"assets"`
	}{Type: "apidef"}
	folder := syncFolder{}
	add := func(list *[]file, name, text string, number int) {
		name = fmt.Sprintf("%s-%d.json", name, number)
		folder[name] = fmt.Sprintf(text, number)
		*list = append(*list, file{name})
	}
	for number := range count {
		add(&index.Files, "api-classic", syncClassic, number)
		add(&index.Files, "oas-oas", syncOAS, number)
		add(&index.Policies, "policy-policy", syncPolicy, number)
		add(&index.Assets, "asset-asset", syncAsset, number)
	}
	raw, _ := json.Marshal(index) // strings and lists: there is no error
	folder[".tyk.json"] = string(raw)
	return folder
}

// write writes the folder to a new directory and returns its path.
func (f syncFolder) write(t *testing.T) string {
	t.Helper()
	dir := newDir(t)
	for name, text := range f {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// newAdministrator returns the access key of an administrator of a new organisation.
func (s *server) newAdministrator() (key string) {
	s.t.Helper()
	organisation := s.newOrganisation()
	return ok(s.client().CreateUserWithResponse(s.t.Context(), client.UserRequest{
		OrgId: &organisation, EmailAddress: new("ines@" + organisation + ".example"), Active: new(true),
	}))(s.t).JSON200.Message
}

// madeByServer are the members that a server sets when it creates or changes an object.
var madeByServer = []string{"_id", "dbId", "created_at", "updated_at", "date_created", "last_updated"}

// withoutMade removes the members that a server makes, and an API's database ID, from a decoded document.
func withoutMade(value any) any {
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = withoutMade(value[i])
		}
	case map[string]any:
		for _, name := range madeByServer {
			delete(value, name)
		}
		if value["api_id"] != nil {
			delete(value, "id")
		}
		for name := range value {
			value[name] = withoutMade(value[name])
		}
	}
	return value
}

// synced returns what the server holds of an organisation: each object, without what the server makes, by its list and
// its public ID.
func (s *server) synced(key string) map[string]any {
	s.t.Helper()
	held := map[string]any{}
	for path, member := range map[string]string{"/api/apis?p=-2": "apis", "/api/portal/policies?p=-2": "Data", "/api/assets": ""} {
		status, body := s.get(path, "Authorization", key)
		require.Equal(s.t, http.StatusOK, status, body)
		if member == "" {
			member, body = "assets", `{"assets":`+body+`}`
		}
		var list map[string]any
		require.NoError(s.t, json.Unmarshal([]byte(body), &list))
		for _, each := range list[member].([]any) {
			object := withoutMade(each).(map[string]any)
			id := object["id"]
			if definition, is := object["api_definition"].(map[string]any); is {
				id = definition["api_id"]
			}
			held[fmt.Sprint(member, " ", id)] = object
		}
	}
	return held
}

// tykSync runs a command of tyk-sync on a server, and returns what it prints.
func tykSync(t *testing.T, command string, s *server, key string, args ...string) (string, error) {
	t.Helper()
	program := testprogram.Need(t, "tyk-sync")
	args = append([]string{command, "--dashboard", "http://" + s.address, "--secret", key}, args...)
	output, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	return string(output), err
}

// TestTykSync runs tyk-sync, unmodified, through all that its users do: publish a folder, update and synchronise it,
// dump it, publish the dump to another organisation, and synchronise a smaller folder, which deletes the rest.
func TestTykSync(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "tyk-sync")
	s := startServer(t)
	run := func(key, command string, args ...string) string {
		t.Helper()
		output, err := tykSync(t, command, s, key, args...)
		require.NoError(t, err, "%s: %s", command, output)
		require.NotContains(t, output, "rror", command) // dump prints errors, and its exit status is 0
		return output
	}
	key := s.newAdministrator()
	folder := newSyncFolder(3).write(t)

	require.Contains(t, run(key, "publish", "--path", folder), "Done")
	published := s.synced(key)
	require.Len(t, published, 4*3)
	require.Equal(t, []any{"fish", "category 2"}, published["apis oas-2"].(map[string]any)["categories"])

	require.Contains(t, run(key, "update", "--path", folder), "Done")
	output := run(key, "sync", "--path", folder)
	require.Contains(t, output, "Updating: 6")
	require.NotRegexp(t, `(?m)^(Deleting|Creating).*: [^0]`, output)
	require.Equal(t, published, s.synced(key))

	dump := newDir(t)
	run(key, "dump", "--target", dump)
	files, err := os.ReadDir(dump)
	require.NoError(t, err)
	require.Len(t, files, 4*3+1, "and the index")

	other := s.newAdministrator()
	refused, err := tykSync(t, "publish", s, other, "--path", dump)
	require.Error(t, err, "the IDs are those of another organisation's APIs")
	require.Contains(t, refused, "Found API with the same ID")
	require.Empty(t, s.synced(other))

	run(key, "sync", "--path", newSyncFolder(1).write(t))
	require.Len(t, s.synced(key), 4, "nothing is left of what the smaller folder does not have")
	run(key, "sync", "--path", dump)
	require.Equal(t, published, s.synced(key), "the dump has lost nothing")
}
