package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The organisations of a hostile source: one that is copied, and one of the target that it wants to change.
const (
	copiedOrganisation = "5e9d9544a1dcd60001d0aaaa"
	victimOrganisation = "5e9d9544a1dcd60001d0bbbb"
	// escapes would set the title of a terminal, and its colours.
	escapes = "\x1b]0;title\x07\u009b31m"
)

// hostileSource answers each list of an organisation with objects of another one, and of no one.
func hostileSource(t *testing.T) (url string) {
	t.Helper()
	replies := map[string]string{
		"/admin/organisations":                       `{"organisations":[{"id":"` + copiedOrganisation + `"}]}`,
		"/admin/organisations/" + copiedOrganisation: `{"id":"` + copiedOrganisation + `","owner_name":"copied"}`,
		"/admin/users": `{"users":[
			{"email_address":"root@evil.example","org_id":"","active":true,"access_key":"0123456789abcdef0123"},
			{"email_address":"case@evil.example","org_id":"` + copiedOrganisation + `","Org_ID":"","active":true}]}`,
		"/admin/apis":     `{"apis":[{"api_definition":{"api_id":"api","org_id":"` + victimOrganisation + `","name":"evil"}}]}`,
		"/admin/policies": `{"Data":[{"_id":"61df10078f11dd00097cffff","org_id":"` + victimOrganisation + `","name":"evil"}]}`,
		"/admin/org/keys": `{"data":{"keys":["` + copiedOrganisation + `"]}}`,
		"/admin/org/keys/" + copiedOrganisation: `{"key_id":"` + copiedOrganisation + `","data":{"org_id":"` +
			victimOrganisation + `","quota_max":1,"rate":1,"per":1}}`,
		"/admin/organisations/" + emptyOrganisation: `{"id":"` + victimOrganisation + `","owner_name":"evil"}`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply, known := replies[r.URL.Path]
		if !known {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, reply)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestHostileSource changes nothing of the target but the organisation that is copied.
func TestHostileSource(t *testing.T) {
	t.Parallel()
	to := startServer(t)
	to.postAdmin("/admin/organisations/import", `{"id":"`+victimOrganisation+`","owner_name":"victim"}`)
	to.importAll("/admin/apis/import", "apis", []string{`{"api_definition":{"api_id":"api","org_id":"` + victimOrganisation + `","name":"good"}}`})
	to.postAdmin("/admin/org/keys", `{"org_id":"`+victimOrganisation+`","quota_max":77,"rate":1,"per":1}`)
	from := hostileSource(t)
	copyOf := func(organisation string) (status int, out, log string) {
		secret := secretFile(t, "secret")
		return runCommand(t, "copy", "--from", from, "--from-secret-file", secret, "--to", "http://"+to.address,
			"--to-secret-file", secretFile(t, to.adminSecret()), "--org", organisation)
	}
	status, out, log := copyOf(copiedOrganisation)
	require.Equal(t, 1, status, out)
	require.Contains(t, log, `organisation key `+copiedOrganisation+` of organisation "`+copiedOrganisation+`" was not copied: `)
	require.Contains(t, log, `it is about organisation "`+victimOrganisation+`"`)
	require.Regexp(t, `(?m)^organisations +1 +0 +0 +0$`, out)

	users := to.users()
	require.Len(t, users, 1, "the super user is not of the organisation")
	require.Equal(t, copiedOrganisation, users[0].OrgId)
	_, apis := to.get("/admin/apis", "Admin-Auth", to.adminSecret())
	require.Contains(t, apis, `"good"`)
	require.NotContains(t, apis, `"evil"`)
	_, policies := to.get("/admin/policies", "Admin-Auth", to.adminSecret())
	require.NotContains(t, policies, `"evil"`)
	_, key := to.get("/admin/org/keys/"+victimOrganisation, "Admin-Auth", to.adminSecret())
	require.Contains(t, key, `"quota_max":77`)

	status, out, log = copyOf(emptyOrganisation) // whose document is another's
	require.Equal(t, 1, status, out)
	require.Contains(t, log, `it is about organisation "`+victimOrganisation+`"`)
	_, organisations := to.get("/admin/organisations", "Admin-Auth", to.adminSecret())
	require.Contains(t, organisations, `"victim"`)
	require.NotContains(t, organisations, `"evil"`)
}

// TestErrorsArePrintable prints nothing of a server that a terminal would take for a command.
func TestErrorsArePrintable(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/admin/organisations":
			_, _ = fmt.Fprintf(w, `{"organisations":[{"id":%q}]}`, "\u009b31m")
		case "/ready":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, escapes)
		case "/admin/org/keys":
			_, _ = fmt.Fprint(w, `{"data":{"keys":[]}}`)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	for _, args := range [][]string{
		{"export", filepath.Join(t.TempDir(), "new"), "--url", s.URL, "--secret-file", secretFile(t, "secret")},
		{"healthcheck", "--listen", strings.TrimPrefix(s.URL, "http://")},
	} {
		status, _, log := runCommand(t, args...)
		require.Equal(t, 1, status)
		require.NotEmpty(t, log)
		require.NotContains(t, log, "\x1b", args[0])
		require.NotContains(t, log, "\u009b", args[0])
	}
}

// TestLinkedFolders reads folders and files that are links: what is left out would be deleted by --prune. A volume of
// Kubernetes has a link for each of its sub-folders.
func TestLinkedFolders(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	folder := writeFiles(t, wanted())
	status, _, log := s.admin("apply", "-f", folder)
	require.Zero(t, status, log)
	elsewhere := t.TempDir()
	require.NoError(t, os.Rename(filepath.Join(folder, "apis"), filepath.Join(elsewhere, "apis")))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "apis"), filepath.Join(folder, "apis")))
	link := filepath.Join(t.TempDir(), "current")
	require.NoError(t, os.Symlink(folder, link))
	status, out, log := s.admin("diff", "-f", link, "--prune", "apis")
	require.Zero(t, status, out+log)

	require.NoError(t, os.Symlink(folder, filepath.Join(elsewhere, "apis", "loop")))
	status, _, log = s.admin("diff", "-f", folder)
	require.Equal(t, 1, status)
	require.Contains(t, log, "loop leads to the folder "+folder+", which has been read already")
	require.NoError(t, os.Remove(filepath.Join(elsewhere, "apis", "loop")))

	require.NoError(t, os.Symlink("nowhere", filepath.Join(folder, "policies", "gone")))
	status, _, log = s.admin("diff", "-f", folder)
	require.Equal(t, 1, status)
	require.Contains(t, log, "no such file")
}

// TestPipeAmongFiles refuses a pipe, from which a read would not return.
func TestPipeAmongFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(folder, "a.json"), 0o600))
	command := exec.CommandContext(t.Context(), program(t), "diff", "-f", folder)
	command.Env = environment()
	var log strings.Builder
	command.Stderr = &log
	require.NoError(t, command.Start())
	const patience = time.Minute // for a machine that is busy: it takes milliseconds
	ended := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	defer ended.Stop()
	_ = command.Wait()
	require.Equal(t, 1, command.ProcessState.ExitCode(), log.String())
	require.Contains(t, log.String(), "a.json is not a regular file")
}

// TestPruneAfterRefusal deletes nothing if another change is refused: what would be deleted may be what the refused
// object was to replace.
func TestPruneAfterRefusal(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	other := s.newOrganisation()
	s.importAll("/admin/apis/import", "apis", []string{`{"api_definition":{"api_id":"new","org_id":"` + other + `"}}`})
	organisation := `{"id":"` + emptyOrganisation + `","owner_name":"x"}`
	api := func(id string) string {
		return `{"api_definition":{"api_id":"` + id + `","org_id":"` + emptyOrganisation + `"}}`
	}
	status, _, log := s.admin("apply", "-f", writeFiles(t, map[string]string{"o.json": organisation, "a.json": api("old")}))
	require.Zero(t, status, log)
	renamed := writeFiles(t, map[string]string{"o.json": organisation, "a.json": api("new")}) // an ID that is another's
	status, out, log := s.admin("apply", "-f", renamed, "--prune", "apis")
	require.Equal(t, 1, status)
	require.Contains(t, log, "the id belongs to another organisation")
	require.Contains(t, log, `delete API old of organisation "`+emptyOrganisation+`" failed: not deleted, because the server has refused other changes`)
	require.Contains(t, out, "0 created, 0 updated, 0 deleted, 1 unchanged\n")
	_, apis := s.get("/admin/apis", "Admin-Auth", s.adminSecret())
	require.Contains(t, apis, `"old"`)
}

// TestPasswordOfOtherBytes refuses a password that JSON cannot have: the server would store another one.
func TestPasswordOfOtherBytes(t *testing.T) {
	t.Parallel()
	command := exec.CommandContext(t.Context(), program(t), "users", "set-password", "61df10078f11dd00097cffff")
	command.Env = environment()
	command.Stdin = strings.NewReader("caf\xe9-with-latin-1\n")
	printed, err := command.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(printed), "the password is not UTF-8: nothing was changed")
}

// TestLinkedLock refuses a lock file that is another file, too: as root, the command would give that one to the account
// of the server.
func TestLinkedLock(t *testing.T) {
	t.Parallel()
	dir := newDataDir(t)
	require.NoError(t, os.Mkdir(dir, 0o711))
	other := writeFile(t, filepath.Join(t.TempDir(), "other"), "of root")
	require.NoError(t, os.Link(other, filepath.Join(dir, "secrets.lock")))
	status, _, log := runCommand(t, "secrets", "rotate", "--data-dir", dir)
	require.Equal(t, 1, status)
	require.Contains(t, log, "secrets.lock is also another file: remove it")
	require.NoFileExists(t, filepath.Join(dir, "admin-secret"))
}

// TestLongFiles reads files with many documents in a time that grows with their length, not with its square: then it
// took half an hour.
func TestLongFiles(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	const documents, emptyDocuments = 20_000, 1_000_000
	var list strings.Builder
	for n := range documents {
		fmt.Fprintf(&list, `,{"api_definition":{"api_id":"%d","org_id":"%s","name":"%01000d"}}`, n, emptyOrganisation, n)
	}
	folder := writeFiles(t, map[string]string{
		"o.json": `{"id":"` + emptyOrganisation + `","owner_name":"x"}`, "a.json": `{"apis":[` + list.String()[1:] + `]}`,
		"b.yaml": strings.Repeat("---\n", emptyDocuments) + "# a comment\n---\n",
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program(t), "diff", "-f", folder, "-o", "json", "--url", "http://"+s.address,
		"--secret-file", secretFile(t, s.adminSecret()))
	command.Env = environment()
	var log strings.Builder
	command.Stderr = &log
	out, _ := command.Output()
	require.Equal(t, 3, command.ProcessState.ExitCode(), "%.300s", log.String())
	require.Contains(t, string(out), `a.json:1:10"`)
	require.Contains(t, string(out), fmt.Sprintf(`"id": "%d"`, documents-1))
}

// TestMarkersOfYAML reads a file that begins with a marker, as most do, and has empty documents.
func TestMarkersOfYAML(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	status, out, log := s.admin("diff", "-f", writeFiles(t, map[string]string{
		"a.yaml": "---\nid: " + emptyOrganisation + "\nowner_name: x\n---\n\n# nothing\n--- # nothing, either\n---\n",
	}))
	require.Equal(t, 3, status, log)
	require.Contains(t, out, "1 to create, 0 to update, 0 to delete, 0 unchanged\n")
}
