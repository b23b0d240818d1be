package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/internal/config"
	"gatehouse/internal/testprogram"
)

// block is a fenced part of the README.
type block struct{ kind, text string }

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

func readme(t *testing.T) (text string, blocks []block) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, "README.md"))
	require.NoError(t, err)
	for _, m := range fence.FindAllStringSubmatch(string(raw), -1) {
		blocks = append(blocks, block{kind: m[1], text: m[2]})
	}
	return string(raw), blocks
}

// walk is the README's commands as a script, and the answer that the README shows for each. The commands that set the
// address and the secret are those of this run.
func walk(t *testing.T, address, secret string) (script string, answers []string) {
	t.Helper()
	_, blocks := readme(t)
	require.Equal(t, "GATEHOUSE=http://127.0.0.1:3000\nADMIN=what-was-printed\n", blocks[2].text)
	script = "set -u\nGATEHOUSE=http://" + address + "\nADMIN=" + secret + "\n"
	for i, b := range blocks {
		if i > 2 && b.kind == "sh" {
			require.Equal(t, "json", blocks[i+1].kind, "a command without its answer: %s", b.text)
			script += b.text + "printf '" + answerEnd + "'\n"
			answers = append(answers, strings.TrimSpace(blocks[i+1].text))
		}
	}
	return script, answers
}

// answerEnd is printed between the answers of a walk.
const answerEnd = "\x1e\n"

func runShell(t *testing.T, script string) (output string, err error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	return string(out), err
}

// TestReadmeWalk runs what the README says, in its order and word for word, two times on one database. The answers must be
// those that it shows, in which … stands for any text.
func TestReadmeWalk(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	_, blocks := readme(t)
	require.Equal(t, []block{{"sh", "make serve\n"}, {"sh", "make test\n"}}, blocks[:2]) // the second one is running
	dir, address := dataDir(t), freeAddress(t)
	runServe(t, blocks[0].text, dir, address)
	script, want := walk(t, address, readSecret(t, dir))
	for range 2 {
		output, err := runShell(t, script)
		require.NoError(t, err, output)
		answers := strings.Split(strings.TrimSuffix(output, answerEnd), answerEnd)
		require.Len(t, answers, len(want))
		for i, pattern := range want {
			pattern = strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", `[^"]+`)
			require.Regexp(t, "^"+pattern+"\n?$", answers[i])
		}
	}
}

// TestReadmeWalkStopsAtAFailure: a step that fails shows the server's answer, and the steps that need its result send
// nothing.
func TestReadmeWalkStopsAtAFailure(t *testing.T) {
	t.Parallel()
	testprogram.Need(t, "curl")
	s := startServer(t)
	script, want := walk(t, s.address, "another-secret")
	output, err := runShell(t, script)
	require.Error(t, err, "a shell that is not interactive ends at the first parameter that is not set")
	require.Contains(t, output, `{"Status":"Error","Message":"Not authorised","Meta":null}`+answerEnd)
	require.Contains(t, output, "ORG")
	require.Less(t, strings.Count(output, answerEnd), len(want))
	require.NotContains(t, s.log.String(), "route=/admin/users", "no request is sent without the organisation's ID")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// runServe runs the README's command for it until the end of the test.
func runServe(t *testing.T, command, dir, address string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = repository
	cmd.Env = environment("GATEHOUSE_DATA_DIR="+dir, "GATEHOUSE_LISTEN="+address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run starts another process
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		<-ended //nolint:errcheck // it was told to end
		if t.Failed() {
			t.Log(said.String())
		}
	})
	eventually(t, "make serve listens and has stored its secret", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		_, err = os.Stat(dir + "/admin-secret")
		return err == nil
	})
}

func readSecret(t *testing.T, dir string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "admin-secret"))
	require.NoError(t, err)
	return strings.TrimSpace(string(content))
}

// TestReadmeOperations compares the README's table with the contracts, both ways.
func TestReadmeOperations(t *testing.T) {
	t.Parallel()
	text, _ := readme(t)
	said := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|PUT|POST|DELETE) [^`]+)`( \\+)? \\|").FindAllStringSubmatch(text, -1) {
		said[m[1]+m[2]] = true
	}
	for _, get := range []func() (*openapi3.T, error){admin.GetSpec, dashboard.GetSpec, node.GetSpec} {
		spec, err := get()
		require.NoError(t, err)
		for path, item := range spec.Paths.Map() {
			for method, op := range item.Operations() {
				name := method + " " + path
				if op.Extensions["x-gatehouse"] == true {
					name += " +"
				}
				require.True(t, said[name], "the README lacks %s", name)
				delete(said, name)
			}
		}
	}
	require.Empty(t, said, "in no contract")
}

// TestReadmeConfiguration compares the README's table with the configuration, both ways.
func TestReadmeConfiguration(t *testing.T) {
	t.Parallel()
	text, _ := readme(t)
	rows := 0
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "| `--") {
			rows++
		}
	}
	settings := settingsOf(reflect.TypeFor[config.Config](), "")
	require.Len(t, settings, rows)
	for _, row := range settings {
		require.Contains(t, text, row+"\n")
	}
}

// settingsOf returns the rows of the README's tables for the fields of a configuration.
func settingsOf(fields reflect.Type, prefix string) (rows []string) {
	for field := range fields.Fields() {
		if _, nested := field.Tag.Lookup("embed"); nested {
			rows = append(rows, settingsOf(field.Type, prefix+field.Tag.Get("prefix"))...)
			continue
		}
		name := field.Tag.Get("name")
		if name == "" {
			name = strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(field.Name, "$1-$2"))
		}
		def := ""
		if v := field.Tag.Get("default"); v != "" {
			def = "`" + v + "` "
		}
		rows = append(rows, fmt.Sprintf("| `--%s` | `%s` | %s| %s |", prefix+name,
			strings.ReplaceAll(field.Tag.Get("env"), ",", "`, `"), def, field.Tag.Get("help")))
	}
	return rows
}

// environmentVariables returns the names of all environment variables of a configuration.
func environmentVariables(fields reflect.Type) (names []string) {
	for field := range fields.Fields() {
		if _, nested := field.Tag.Lookup("embed"); nested {
			names = append(names, environmentVariables(field.Type)...)
			continue
		}
		names = append(names, strings.Split(field.Tag.Get("env"), ",")...)
	}
	return names
}
