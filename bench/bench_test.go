package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"gatehouse/internal/testprogram"
	"gatehouse/postgres"
)

// programsDir is the directory of the servers that buildOnce builds.
var programsDir string

// buildOnce builds the servers for all tests, over what an interrupted generation leaves behind.
var buildOnce = sync.OnceValue(func() error {
	broken := filepath.Join("_ogen", "api", "oas_interrupted_gen.go")
	if err := os.MkdirAll(filepath.Dir(broken), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(broken, []byte("package api\n\nfunc interrupted("), 0o600); err != nil {
		return err
	}
	return buildServers(context.Background(), programsDir)
})

func TestMain(m *testing.M) {
	var err error
	if programsDir, err = os.MkdirTemp("", "gatehouse-bench-test-"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(programsDir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// programs returns the directory of the servers' executables.
func programs(t *testing.T) string {
	t.Helper()
	require.NoError(t, buildOnce())
	return programsDir
}

// tinyPlan returns a plan with all measurements at the smallest sizes. The values mean nothing.
func tinyPlan(t *testing.T) plan {
	t.Helper()
	return plan{
		programs: programs(t),
		rounds:   1, window: 2 * time.Millisecond, connections: []int{1, 8, 64}, pools: []int{2},
		users: 200, growth: []int{100, 200}, definitions: []int{20}, policies: []int{20}, organisations: 100,
		fleet: fleetPlan{
			apis: []int{50}, gateways: []int{10, 20}, clients: []int{1, 50}, window: 300 * time.Millisecond,
			limit: time.Minute, startLimit: time.Minute,
			pingInterval: 50 * time.Millisecond, reloadInterval: 100 * time.Millisecond,
		},
	}
}

// needClientPrograms skips the test, by name, if the Postgres of this machine lacks clientPrograms. In CI it fails.
func needClientPrograms(t *testing.T) {
	t.Helper()
	require.NoError(t, os.Chmod(programsDir, 0o711)) // Postgres may run as another account
	dir := filepath.Join(programsDir, t.Name()+".postgres")
	cluster, err := postgres.Start(t.Context(), postgres.Config{DataDir: dir, Volatile: true})
	require.NoError(t, err)
	binDir := cluster.BinDir()
	require.NoError(t, cluster.Stop(t.Context()))
	for _, name := range clientPrograms() {
		testprogram.Need(t, filepath.Join(binDir, name))
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	needClientPrograms(t)
	var progress, table bytes.Buffer
	results, err := measure(t.Context(), tinyPlan(t), &progress)
	require.NoError(t, err, progress.String())
	file := filepath.Join(t.TempDir(), "results.json")
	require.NoError(t, results.writeJSON(file))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var all map[string]result
	require.NoError(t, json.Unmarshal(text, &all))

	t.Run("every result that has a target exists", func(t *testing.T) {
		t.Parallel()
		for name, target := range targets {
			if strings.Contains(name, "_vs_nginx") && all["nginx_fleet_apis_plain_per_s"].Unit == "" {
				continue // nginx is not installed
			}
			require.Contains(t, all, name)
			require.NotNil(t, all[name].Target, name)
			require.InDelta(t, target.value, *all[name].Target, 0, name)
			require.Equal(t, target.better, all[name].Better, name)
		}
	})
	t.Run("there are results of the other servers", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{
			"get_user_vs_bare", "get_org_vs_bare", "allow_reset_vs_bare", "create_user_vs_bare", "sso_vs_bare",
			"get_user_vs_bare_8", "allow_reset_vs_pgbench",
			"import_vs_copy", "export_vs_copy", "policy_import_vs_copy", "policy_export_vs_copy",
			"import_peak_rss_mib", "export_peak_rss_mib", "get_user_growth", "allow_reset_growth",
			"list_first_byte_ms", "list_peak_rss_mib", "given_start_s", "idle_rss_mib", "get_user_p50_us", "get_user_p99_us_64",
		} {
			require.Contains(t, all, name)
			require.Contains(t, all, "stock_"+name)
		}
		for _, name := range []string{
			"ogen_get_user_vs_bare", "ogen_import_vs_copy", "bare_import_vs_copy", "bare_allow_reset_vs_pgbench",
			"cold_start_s", "binary_mib",
		} {
			require.Contains(t, all, name)
		}
	})
	t.Run("minimum, median and maximum are in order", func(t *testing.T) {
		t.Parallel()
		for name, r := range all {
			if r.Unit != aboveIdle { // a small request may need no memory
				require.Positive(t, r.Min, name)
			}
			require.NotEmpty(t, r.Unit, name)
			require.LessOrEqual(t, r.Min, r.Median, name)
			require.LessOrEqual(t, r.Median, r.Max, name)
		}
	})
	t.Run("no server refused a request", func(t *testing.T) {
		t.Parallel()
		for _, note := range results.notes {
			require.NotContains(t, note, "refused")
		}
	})
	t.Run("the table has every result", func(t *testing.T) {
		t.Parallel()
		results.print(&table)
		for name := range all {
			require.Contains(t, table.String(), name)
		}
	})
	t.Run("the chart of the growth is written", func(t *testing.T) {
		t.Parallel()
		picture := filepath.Join(t.TempDir(), "growth.svg")
		require.NoError(t, results.drawGrowth(picture, tinyPlan(t).growth))
		text, err := os.ReadFile(picture)
		require.NoError(t, err)
		require.Contains(t, string(text), "<svg")
		require.Contains(t, string(text), "gatehouse get_user")
	})
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	sizes := func(k kind, n int) (sum int, below int) {
		for i := range n {
			columns, document := k.document(i)
			require.True(t, gjson.ValidBytes(document), "%s", document)
			require.Len(t, columns, 1+strings.Count(k.columns, ","))
			require.NotContains(t, string(document), "\t")
			sum += len(document)
			if len(document) < median {
				below++
			}
		}
		return sum / n, below * 100 / n
	}
	t.Run("API definitions have the sizes of production", func(t *testing.T) {
		t.Parallel()
		mean, below := sizes(apis(), 2000)
		require.InDelta(t, 12_400, mean, 1_000)
		require.InDelta(t, 50, below, 6)
	})
	t.Run("a document is the same in each run", func(t *testing.T) {
		t.Parallel()
		_, one := apiDocument(7)
		_, again := apiDocument(7)
		_, other := apiDocument(8)
		require.Equal(t, string(one), string(again))
		require.NotEqual(t, string(one), string(other))
	})
	t.Run("policies", func(t *testing.T) {
		t.Parallel()
		mean, _ := sizes(policies(), 200)
		require.InDelta(t, 1_700, mean, 500)
	})
}

func TestPlan(t *testing.T) {
	t.Parallel()
	t.Run("a limit between two sizes is the largest size", func(t *testing.T) {
		t.Parallel()
		p := fullPlan().withLimits(2, 5_000, 1_000_000)
		require.Equal(t, 2, p.rounds)
		require.Equal(t, []int{100, 1_000, 5_000}, p.definitions)
		require.Equal(t, []int{1_000, 1_000_000}, p.growth)
	})
	t.Run("without limits the plan stays the same", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, fullPlan(), fullPlan().withLimits(0, 0, 0))
	})
}

func TestResult(t *testing.T) {
	t.Parallel()
	r := newReport()
	for _, value := range []float64{1.2, 0.9, 1.0} {
		r.add("get_user_vs_bare", "ratio", value)
		r.add("import_vs_copy", "ratio", value+1)
	}
	got := r.result("get_user_vs_bare")
	require.InDelta(t, 0.9, got.Min, 0)
	require.InDelta(t, 1.0, got.Median, 0)
	require.InDelta(t, 1.2, got.Max, 0)
	require.Equal(t, "reached", got.targetStatus())
	require.Equal(t, "missed", r.result("import_vs_copy").targetStatus())
}
