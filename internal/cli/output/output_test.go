package output_test

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/cli/output"
)

type item struct {
	Name  string   `json:"name"`
	Value string   `json:"value"`
	List  []string `json:"list"`
}

func TestFormats(t *testing.T) {
	t.Parallel()
	items := []item{
		{Name: "zebra", Value: "true", List: []string{"a"}}, {Name: "ant", Value: "two\nlines\tand a tab"},
	}
	columns := []output.Column[item]{
		{Heading: "NAME", Text: func(i item) string { return i.Name }},
		{Heading: "VALUE", Text: func(i item) string { return i.Value }},
	}
	for format, want := range map[string]string{
		"":      "NAME   VALUE\nzebra  true\nant    two lines and a tab\n",
		"table": "NAME   VALUE\nzebra  true\nant    two lines and a tab\n",
		"json": `[
  {
    "name": "zebra",
    "value": "true",
    "list": [
      "a"
    ]
  },
  {
    "name": "ant",
    "value": "two\nlines\tand a tab",
    "list": null
  }
]
`,
		"yaml": `- name: zebra
  value: "true"
  list:
    - a
- name: ant
  value: |-
    two
    lines	and a tab
  list: null
`,
	} {
		var out strings.Builder
		require.NoError(t, output.Write(&out, output.Format(format), items, columns))
		require.Equal(t, want, out.String(), format)
	}
	var out strings.Builder
	require.NoError(t, output.Write(&out, "json", nil, columns))
	require.Equal(t, "[]\n", out.String())
}

func TestFlag(t *testing.T) {
	t.Parallel()
	cmd := &cobra.Command{}
	format := output.AddFlag(cmd)
	require.Equal(t, output.Format("table"), *format)
	require.NoError(t, cmd.ParseFlags([]string{"-o", "yaml"}))
	require.Equal(t, output.Format("yaml"), *format)
	require.ErrorContains(t, cmd.ParseFlags([]string{"--output=xml"}), "must be table, json, yaml")
}
