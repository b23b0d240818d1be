// Package output writes what commands print: as a table for people, or as JSON or YAML for programs.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// Format is the value of the flag --output. The zero value is a table.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	YAML  Format = "yaml"
)

var formats = []string{string(Table), string(JSON), string(YAML)}

// AddFlag adds the flag --output (-o) to a command.
func AddFlag(cmd *cobra.Command) *Format {
	format := Table
	cmd.Flags().VarP(&format, "output", "o", "Format of what is printed: table, json or yaml.")
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return formats, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("output", complete); err != nil {
		panic(err) // the flag was added just now
	}
	return &format
}

// Set implements pflag.Value.
func (f *Format) Set(text string) error {
	if !slices.Contains(formats, text) {
		return fmt.Errorf("must be %s", strings.Join(formats, ", "))
	}
	*f = Format(text)
	return nil
}

// String implements pflag.Value.
func (f *Format) String() string { return string(*f) }

// Type implements pflag.Value.
func (*Format) Type() string { return "format" }

// Column is a column of a table: its heading, and its text for an item.
type Column[T any] struct {
	Heading string
	Text    func(item T) string
}

// Write writes a list in a format: as a table with these columns, or as encoding/json encodes it.
func Write[T any](out io.Writer, format Format, items []T, columns []Column[T]) error {
	if items == nil {
		items = []T{} // JSON's null is no list
	}
	if format == JSON || format == YAML {
		return WriteValue(out, format, items)
	}
	writer := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	cells := make([]string, len(columns))
	for i, column := range columns {
		cells[i] = column.Heading
	}
	row := func() { fmt.Fprintln(writer, strings.TrimRight(strings.Join(cells, "\t"), "\t")) }
	row()
	for _, item := range items {
		for i, column := range columns {
			cells[i] = oneLine.Replace(column.Text(item))
		}
		row()
	}
	return writer.Flush()
}

// oneLine keeps a text in its cell.
var oneLine = strings.NewReplacer("\n", " ", "\r", " ", "\t", " ")

// WriteValue writes a value as JSON, or as YAML with the same names in the same order.
func WriteValue(out io.Writer, format Format, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if format == YAML {
		if text, err = yamlOf(text); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%s\n", strings.TrimSuffix(string(text), "\n"))
	return err
}

// yamlOf returns a JSON text in YAML's own style. JSON is YAML, too.
func yamlOf(text []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	clearStyle(&document)
	return yaml.Marshal(&document)
}

func clearStyle(node *yaml.Node) {
	node.Style = 0
	for _, child := range node.Content {
		clearStyle(child)
	}
}
