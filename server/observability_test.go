package server_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/server"
)

// ownMetrics matches the names of metrics that the server has.
var ownMetrics = regexp.MustCompile(`\b(?:gatehouse|go|process)_[a-z0-9_]+\b`)

// servedMetrics are the names on /metrics, of series as well as of histograms.
func servedMetrics(page string) map[string]bool {
	names := map[string]bool{}
	for line := range strings.Lines(page) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "# TYPE ") {
			names[fields[2]] = true
			continue
		}
		names[ownMetrics.FindString(line)] = true
	}
	delete(names, "")
	return names
}

// TestNamedMetricsExist: a running server that has done all that is counted serves each metric that the dashboard, the
// alerts and the documentation name, and the documentation names each of its own.
func TestNamedMetricsExist(t *testing.T) {
	t.Parallel()
	e := setupGateway(t, gatewayOptions{noNotices: true})
	settledReloads(t, e)
	e.importAPIs(apiOf(e.org(), "harbour")).is(200)
	e.admin("PUT", "/admin/organisations/unknown", `{}`).is(404)
	gatewaytest.Eventually(t, soon, "a notice is sent", func() bool {
		return e.metric(`gatehouse_notices_total{by="control_api",result="sent"}`) > 0
	})
	strict := departing(t, server.DeparturesReported)
	strict.admin("GET", userPath+strict.user(strict.org(), "u@example.org", nil).Id, nil).is(200)
	served := servedMetrics(e.admin("GET", "/metrics", nil).is(200).body)
	maps.Copy(served, servedMetrics(strict.admin("GET", "/metrics", nil).is(200).body))

	const documentation = "../docs/observability.md"
	named := map[string]bool{}
	for _, path := range []string{
		"../deploy/grafana/gatehouse.json", "../deploy/prometheus/alerts.yaml", "../deploy/prometheus/alerts_test.yaml",
		documentation,
	} {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		found := ownMetrics.FindAllString(string(content), -1)
		require.NotEmpty(t, found, path)
		for _, name := range found {
			require.True(t, served[name], "%s names %s, which /metrics does not have", path, name)
			named[name] = named[name] || path == documentation
		}
	}
	for _, name := range slices.Sorted(maps.Keys(served)) {
		isSeries := regexp.MustCompile(`_(bucket|sum|count)$`).MatchString(name)
		if strings.HasPrefix(name, "gatehouse_") && !isSeries {
			require.True(t, named[name], "%s does not have %s", documentation, name)
		}
	}
}

// TestDashboard: the dashboard is one that Grafana imports, whose panels all have a query and a description.
func TestDashboard(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../deploy/grafana/gatehouse.json")
	require.NoError(t, err)
	var dashboard struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(content, &dashboard))
	require.NotEmpty(t, dashboard.UID)
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		require.False(t, ids[panel.ID], panel.Title)
		ids[panel.ID] = true
		for x := panel.GridPos.X; x < panel.GridPos.X+panel.GridPos.W; x++ {
			for y := panel.GridPos.Y; y < panel.GridPos.Y+panel.GridPos.H; y++ {
				require.Empty(t, cells[[2]int{x, y}], "%s overlaps another panel", panel.Title)
				cells[[2]int{x, y}] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		require.NotEmpty(t, panel.Description, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			require.Contains(t, target.Expr, `{instance=~"$instance"`, panel.Title)
		}
	}
}
