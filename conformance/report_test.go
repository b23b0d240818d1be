package conformance_test

import (
	"encoding/json"
	"encoding/xml"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReports writes one report in each format.
func TestReports(t *testing.T) {
	t.Parallel()
	h, target := startHarbour(t)
	h.forgetful = true
	report := checkToy(t, target, toyFiles(t, ""))
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		var out strings.Builder
		require.NoError(t, report.WriteText(&out))
		require.Contains(t, out.String(), "FAILED getBoat/ok/2\n  /length: expected 12, got 0\n  response: 200 {")
		require.Contains(t, out.String(), `-H 'Boat-Key: '"$KEY"`)
	})
	t.Run("JUnit", func(t *testing.T) {
		t.Parallel()
		var out strings.Builder
		require.NoError(t, report.WriteJUnit(&out))
		var suites struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Skipped  int `xml:"skipped,attr"`
			Suites   []struct {
				Name  string `xml:"name,attr"`
				Cases []struct {
					Name    string `xml:"name,attr"`
					Failure struct {
						Message string `xml:"message,attr"`
						Text    string `xml:",chardata"`
					} `xml:"failure"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		require.NoError(t, xml.Unmarshal([]byte(out.String()), &suites))
		require.Equal(t, []int{10, 3, 1}, []int{suites.Tests, suites.Failures, suites.Skipped})
		require.Equal(t, "registerBoat", suites.Suites[0].Name)
		require.Equal(t, "/length: expected 12, got 0", suites.Suites[0].Cases[0].Failure.Message)
		require.Contains(t, suites.Suites[0].Cases[0].Failure.Text, "curl -sS -X POST")
	})
	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		var out strings.Builder
		require.NoError(t, report.WriteJSON(&out))
		var decoded struct {
			Outcomes, Driven, Failed int
			Results                  []struct {
				ID, Result, Scenario string
				Differences          []struct{ Pointer, Reason string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out.String()), &decoded))
		require.Equal(t, []int{9, 6, 2, 10}, []int{decoded.Outcomes, decoded.Driven, decoded.Failed, len(decoded.Results)})
		require.Equal(t, "/length", decoded.Results[0].Differences[0].Pointer)
	})
	t.Run("HTML", func(t *testing.T) {
		t.Parallel()
		var out strings.Builder
		require.NoError(t, report.WriteHTML(&out))
		page := out.String()
		require.Empty(t, regexp.MustCompile(`(?i)(src|href)="?[a-z]+:|@import|url\(`).FindString(page), "the page refers to no other")
		require.Contains(t, page, `name="viewport"`)
		require.Contains(t, page, "prefers-color-scheme: dark")
		lines := strings.Split(strings.TrimSpace(page), "\n")
		require.Equal(t, "<footer>8 of 9 outcomes driven, 1 need a fault</footer>", lines[len(lines)-2])
		for _, text := range []string{"registerBoat", "taken", "/length: expected 12, got 0"} {
			require.Contains(t, page, text)
		}
		require.NotContains(t, page, harbourKey)
	})
}
