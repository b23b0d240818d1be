package output_test

import (
	"encoding/json"
	"io"
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

func TestDocuments(t *testing.T) {
	t.Parallel()
	// A surrogate pair, characters that encoding/json escapes, and the text of numbers.
	documents := []string{
		`{"b":"\ud83c\udf0a <&>","a":[1.50,1e3,9007199254740993,null,true,{}],"b":"true"}`, `[]`, "{\n \"c\": \"1\"\n}",
	}
	list := func(yield func(json.RawMessage, error) bool) {
		for _, each := range documents {
			if !yield(json.RawMessage(each), nil) {
				return
			}
		}
	}
	const first = `b: "\U0001F30A <&>"
a:
    - 1.50
    - 1e3
    - 9007199254740993
    - null
    - true
    - {}
b: "true"
`
	var out strings.Builder
	require.NoError(t, output.WriteDocument(&out, "json", json.RawMessage(documents[0])))
	require.Equal(t, documents[0]+"\n", out.String())
	out.Reset()
	require.NoError(t, output.WriteDocument(&out, "yaml", json.RawMessage(documents[0])))
	require.Equal(t, first, out.String())
	out.Reset()
	require.NoError(t, output.WriteDocuments(&out, "json", list))
	require.Equal(t, "[\n"+strings.Join(documents, ",\n")+"\n]\n", out.String())
	out.Reset()
	require.NoError(t, output.WriteDocuments(&out, "yaml", list))
	inList := strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(first), "    - ", "  - "), "\n", "\n  ")
	require.Equal(t, "- "+inList+"\n- []\n- c: \"1\"\n", out.String())
	for _, format := range []output.Format{"json", "yaml"} {
		out.Reset()
		require.NoError(t, output.WriteDocuments(&out, format, func(func(json.RawMessage, error) bool) {}))
		require.Equal(t, "[]\n", out.String())
		broken := func(yield func(json.RawMessage, error) bool) {
			_ = yield(json.RawMessage(`{}`), nil) && yield(nil, io.ErrUnexpectedEOF)
		}
		out.Reset()
		require.ErrorIs(t, output.WriteDocuments(&out, format, broken), io.ErrUnexpectedEOF)
		require.NotContains(t, out.String(), "]")
	}
}
