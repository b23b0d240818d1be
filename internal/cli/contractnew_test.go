package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestContractNew makes a module in an empty folder that exists. TestNewModule of e2e builds one and runs its tests.
func TestContractNew(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	status, out, log := run(t, "contract", "new", folder, "--module", "example.com/shop/v2", "--gatehouse", root)
	require.Empty(t, log)
	require.Equal(t, "The module example.com/shop/v2 is in "+folder+". Run its tests:\n\n  cd "+folder+" && make test\n", out)
	require.Zero(t, status)
	for file, want := range map[string]string{
		"go.mod":           "module example.com/shop/v2\n",
		"Makefile":         "exec $(BIN)/shop\n",
		"main.go":          `"example.com/shop/v2/server"`,
		"api/api.gen.go":   "func (CreateItemReplies) Taken(",
		"openapi/api.yaml": "title: shop\n",
	} {
		text, err := os.ReadFile(filepath.Join(folder, file))
		require.NoError(t, err)
		require.Contains(t, string(text), want)
		require.NotContains(t, string(text), "{{")
	}
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(text), "\nreplace gatehouse => "+root+"\n")
	require.Equal(t, 1, strings.Count(string(text), "replace"))

	status, out, log = run(t, "contract", "new", folder)
	require.Equal(t, "gatehouse: "+folder+" is not empty: it has .ci\n", log)
	require.Empty(t, out)
	require.Equal(t, 2, status)
}

// TestContractNewOfTheRepository uses the repository that the program was built from, which the tests were, too.
func TestContractNewOfTheRepository(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "services", "shelf")
	status, _, log := run(t, "contract", "new", folder)
	require.Empty(t, log)
	require.Zero(t, status)
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	require.NoError(t, err)
	require.Contains(t, string(text), "module shelf\n")
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.Contains(t, string(text), "\nreplace gatehouse => "+root+"\n")
}

// TestContractNewRefused: nothing is written when the module cannot be made.
func TestContractNewRefused(t *testing.T) {
	t.Parallel()
	elsewhere := t.TempDir()
	broken := filepath.Join(t.TempDir(), "gatehouse") // a repository whose requirements cannot be read
	require.NoError(t, os.MkdirAll(filepath.Join(broken, "examples", "notes"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(broken, "go.mod"), []byte("module gatehouse\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(broken, "examples", "notes", "go.sum"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(broken, "examples", "notes", "go.mod"), []byte("modul\n"), 0o600))
	for _, each := range []struct {
		args []string
		want string
	}{
		{[]string{"--module", "my shop"}, `--module: "my shop" cannot be the path of a module, such as example.com/bookings: invalid char ' '`},
		{[]string{"--module", "gatehouse/shop"}, `--module: "gatehouse/shop" cannot be the path of a module: gatehouse is the path of another`},
		{[]string{"--gatehouse", elsewhere}, "--gatehouse: " + elsewhere + " is not the repository of gatehouse"},
		{[]string{"--gatehouse", broken}, "unknown directive: modul"},
	} {
		parent := t.TempDir()
		status, out, log := run(t, append([]string{"contract", "new", filepath.Join(parent, "services", "shop")}, each.args...)...)
		require.Contains(t, log, each.want)
		require.Empty(t, out)
		require.Equal(t, 2, status)
		left, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}
