// Package output writes what commands print: as a table for people, or as JSON or YAML for programs.
package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
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

// IsDocuments reports whether the format has whole documents, as WriteDocument writes them.
func (f *Format) IsDocuments() bool { return *f == JSON || *f == YAML }

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
	if format.IsDocuments() {
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
	return WriteDocument(out, format, text)
}

// WriteDocument writes a JSON document as it is, or as YAML with the same names in the same order.
func WriteDocument(out io.Writer, format Format, document json.RawMessage) error {
	if format == YAML {
		var err error
		if document, err = yamlOf(document); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%s\n", bytes.TrimSuffix(document, []byte("\n")))
	return err
}

// WriteDocuments writes a list of JSON documents, each as WriteDocument does, in the memory of one. If the documents
// end with an error, the list is not complete, and is no JSON.
func WriteDocuments(out io.Writer, format Format, documents iter.Seq2[json.RawMessage, error]) error {
	separator, end := "[\n", "[]\n"
	for document, err := range documents {
		if err != nil {
			return err
		}
		if format == YAML {
			separator, end = "", ""
			if document, err = yamlOf(slices.Concat([]byte("["), document, []byte("]"))); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(out, "%s%s", separator, document); err != nil {
			return err
		}
		if format != YAML {
			separator, end = ",\n", "\n]\n"
		}
	}
	_, err := io.WriteString(out, end)
	return err
}

// yamlOf returns a JSON text in YAML's own style.
func yamlOf(text []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	document, err := yamlNode(decoder)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(document)
}

// yamlNode returns the next value of a decoder. YAML's own decoder reads most of JSON, but no surrogate pairs.
func yamlNode(decoder *json.Decoder) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delimiter, ok := token.(json.Delim)
	if !ok {
		return yamlScalar(token)
	}
	node := &yaml.Node{Kind: yaml.SequenceNode}
	if delimiter == '{' {
		node.Kind = yaml.MappingNode
	}
	for decoder.More() {
		child, err := yamlNode(decoder)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, child)
	}
	if node.Content == nil {
		node.Style = yaml.FlowStyle // {} and [] have no other
	}
	_, err = decoder.Token() // the end
	return node, err
}

func yamlScalar(token json.Token) (*yaml.Node, error) {
	if number, ok := token.(json.Number); ok {
		tag := "!!int"
		if strings.ContainsAny(number.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: number.String()}, nil
	}
	var node yaml.Node
	return &node, node.Encode(token)
}
