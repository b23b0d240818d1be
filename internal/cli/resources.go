package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/client"
	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/remote"
)

// resource is a kind of objects that commands list, get and delete.
type resource struct {
	// command is the name of the command, noun that of one object in messages, and nouns that of several.
	command, noun, nouns string
	// columns are the columns of a table. The first is the ID.
	columns []resourceColumn
	// name is the member that a user confirms a deletion with.
	name []string
	// ids are the members by one of which an object is found in the list, if get is nil.
	ids [][]string

	// list requests all objects, which are in a member of the response.
	list   func(ctx context.Context, c *client.ClientWithResponses, filter *resourceFilter) (*http.Response, error)
	member string
	// get and remove request one object, or its deletion; nil: there is no such operation.
	get    func(ctx context.Context, c *client.ClientWithResponses, id string) (json.RawMessage, error)
	remove func(ctx context.Context, c *client.ClientWithResponses, id string) error
	// removed says what is deleted with an object.
	removed string
	// example is an ID, for examples.
	example string
}

// resourceColumn is a column of a table: its heading, and the member that it shows.
type resourceColumn struct {
	heading string
	path    []string
}

// resourceFilter restricts a list. nil is no restriction.
type resourceFilter struct{ org, email *string }

// newResource returns the command of a resource, with more subcommands than the common ones.
func newResource(std Streams, r *resource, more ...*cobra.Command) *cobra.Command {
	actions := "List and show"
	if r.remove != nil {
		actions = "List, show and delete"
	}
	if more != nil {
		actions = "List, show, create, change and delete"
	}
	list, get := newResourceList(std, r), newResourceGet(std, r)
	cmd := &cobra.Command{
		Use:     r.command,
		Short:   fmt.Sprintf("%s the %s of a server.", actions, r.nouns),
		Example: list.Example + "\n" + get.Example,
	}
	cmd.AddCommand(list, get)
	if r.remove != nil {
		cmd.AddCommand(newResourceDelete(std, r))
	}
	cmd.AddCommand(more...)
	return cmd
}

const (
	// aboutServer is a part of the help of all commands that call a server.
	aboutServer = `
The command calls the server that the settings describe, or the one at --url. With --local, it works
on the database instead: no server has to run, and no admin secret is needed.
`
	// aboutStatus describes the exit status of commands that are about one object.
	aboutStatus = `
The exit status is 0 if the command succeeded, 1 if it failed, 2 for an error in the command line,
and 3 if there is no such object.`
)

func newResourceList(std Streams, r *resource) *cobra.Command {
	var cfg config.Config
	var org, email string
	cmd := &cobra.Command{
		Use:   "list",
		Short: fmt.Sprintf("List the %s, oldest first.", r.nouns),
		Long: "All are listed, however many there are. The formats json and yaml have the whole objects, JSON byte\n" +
			"for byte as the server sends them.\n" + r.aboutSecrets() + aboutServer,
		Example: fmt.Sprintf("  gatehouse %s list\n  gatehouse %s list -o json", r.command, r.command),
	}
	format := output.AddFlag(cmd)
	if r.ofOrganisation() {
		cmd.Flags().StringVar(&org, "org", "", "ID of an organisation, to list only what belongs to it. Default: all.")
	}
	if r.command == "users" {
		cmd.Flags().StringVar(&email, "email", "", "E-mail address, in any case, of the users to list. Default: all.")
	}
	flags := addLocalFlags(cmd, &cfg, std)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var filter resourceFilter
		if cmd.Flags().Changed("org") {
			filter.org = &org
		}
		if cmd.Flags().Changed("email") {
			filter.email = &email
		}
		return flags.with(cmd.Context(), func(c *client.ClientWithResponses) error {
			return r.write(std.Out, *format, r.all(cmd.Context(), c, &filter))
		})
	}
	return cmd
}

func newResourceGet(std Streams, r *resource) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: fmt.Sprintf("Show %s %s.", article(r.noun), r.noun),
		Long: fmt.Sprintf("The formats json and yaml have the whole %s, JSON byte for byte as the server sends it.\n",
			r.noun) +
			r.aboutSecrets() + aboutServer + aboutStatus,
		Example: fmt.Sprintf("  gatehouse %s get %s -o json", r.command, r.example),
		Args:    oneID,
	}
	format := output.AddFlag(cmd)
	flags := addLocalFlags(cmd, &cfg, std)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return flags.with(cmd.Context(), func(c *client.ClientWithResponses) error {
			document, err := r.find(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return r.writeOne(std.Out, *format, document)
		})
	}
	return cmd
}

func newResourceDelete(std Streams, r *resource) *cobra.Command {
	var cfg config.Config
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete ID",
		Short: fmt.Sprintf("Delete %s %s%s.", article(r.noun), r.noun, r.removed),
		Long: fmt.Sprintf("On a terminal, the command asks for the name of the %s first. Elsewhere it needs --yes.\n",
			r.noun) +
			aboutServer + aboutStatus,
		Example: fmt.Sprintf("  gatehouse %s delete --yes %s", r.command, r.example),
		Args:    oneID,
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "Do not ask.")
	flags := addLocalFlags(cmd, &cfg, std)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes && !isTerminal(cmd.InOrStdin()) {
			return usage(fmt.Errorf("there is no terminal to ask for a confirmation: use --yes%s", hint(cmd, nil)))
		}
		return flags.with(cmd.Context(), func(c *client.ClientWithResponses) error {
			if !yes {
				if err := r.confirm(cmd, c, args[0]); err != nil {
					return err
				}
			}
			if err := r.remove(cmd.Context(), c, args[0]); err != nil {
				return r.orUnknown(err, args[0])
			}
			fmt.Fprintf(std.Out, "deleted %s %s%s\n", r.noun, args[0], r.removed)
			return nil
		})
	}
	return cmd
}

// confirm has the user type the name of an object that is to be deleted.
func (r *resource) confirm(cmd *cobra.Command, c *client.ClientWithResponses, id string) error {
	document, err := r.find(cmd.Context(), c, id)
	if err != nil {
		return err
	}
	name := id
	if compact, err := jsondoc.Compact(document); err == nil {
		name = cmp.Or(text(compact, r.name), id)
	}
	log := cmd.ErrOrStderr()
	fmt.Fprintf(log, "This deletes the %s %s%s. Type its name, %s, to go on: ", r.noun, id, r.removed, name)
	read := func() (string, error) { return readLine(cmd.InOrStdin()) }
	typed, err := answer(cmd.Context(), read, func() { fmt.Fprintln(log) })
	if err != nil {
		return err
	}
	if typed != name {
		return errors.New("that is another name: nothing was deleted")
	}
	return nil
}

// oneID is the cobra.PositionalArgs of commands that have an ID.
func oneID(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("expected one ID")
	}
	return nil
}

// exitUnknown is the exit status of a command that is about an object that does not exist.
const exitUnknown = 3

// unknownError is returned if an object does not exist.
type unknownError struct{ noun, id string }

// Error implements error.
func (e *unknownError) Error() string { return fmt.Sprintf("there is no %s %q", e.noun, e.id) }

// ExitStatus is the exit status of the program.
func (*unknownError) ExitStatus() int { return exitUnknown }

// orUnknown returns an *unknownError in place of a reply that says so. One without a message is from another server.
func (r *resource) orUnknown(err error, id string) error {
	reply, ok := errors.AsType[*replyError](err)
	if ok && reply.status == http.StatusNotFound && reply.message != "" {
		return &unknownError{r.noun, id}
	}
	return err
}

// find returns an object.
func (r *resource) find(ctx context.Context, c *client.ClientWithResponses, id string) (json.RawMessage, error) {
	if r.get != nil {
		document, err := r.get(ctx, c, id)
		return document, r.orUnknown(err, id)
	}
	for document, err := range r.all(ctx, c, &resourceFilter{}) {
		if err != nil {
			return nil, err
		}
		compact, err := jsondoc.Compact(document)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(r.ids, func(path []string) bool { return text(compact, path) == id }) {
			return document, nil
		}
	}
	return nil, &unknownError{r.noun, id}
}

// all returns the objects as the server sends them, in the memory of one.
func (r *resource) all(
	ctx context.Context, c *client.ClientWithResponses, filter *resourceFilter,
) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		response, err := r.list(ctx, c, filter)
		if err != nil {
			yield(nil, err)
			return
		}
		defer response.Body.Close()
		for document, err := range elements(response.Body, r.member) {
			if !yield(document, err) || err != nil {
				return
			}
		}
	}
}

// elements returns the elements of a list, which is a member of a JSON object. It returns an error for an object that
// is not complete.
func elements(body io.Reader, member string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		decoder, found := json.NewDecoder(body), false
		_, err := decoder.Token()
		for err == nil && decoder.More() {
			var name json.Token
			if name, err = decoder.Token(); err != nil {
				break
			}
			if name != member {
				err = decoder.Decode(&json.RawMessage{})
				continue
			}
			found = true
			_, err = decoder.Token()
			for err == nil && decoder.More() {
				var document json.RawMessage
				if err = decoder.Decode(&document); err == nil && !yield(document, nil) {
					return
				}
			}
			if err == nil {
				_, err = decoder.Token()
			}
		}
		if err == nil {
			_, err = decoder.Token()
		}
		switch {
		case err == nil && !found:
			err = fmt.Errorf("it has no %s", member)
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			yield(nil, fmt.Errorf("the response is no list: %w", err))
		}
	}
}

// write writes a list.
func (r *resource) write(out io.Writer, format output.Format, documents iter.Seq2[json.RawMessage, error]) error {
	if format.IsDocuments() {
		return output.WriteDocuments(out, format, documents)
	}
	var rows [][]string // without the documents, which may be long
	for document, err := range documents {
		if err != nil {
			return err
		}
		rows = append(rows, r.row(document))
	}
	return r.writeTable(out, rows)
}

// writeOne writes one object.
func (r *resource) writeOne(out io.Writer, format output.Format, document json.RawMessage) error {
	if format.IsDocuments() {
		return output.WriteDocument(out, format, document)
	}
	return r.writeTable(out, [][]string{r.row(document)})
}

func (r *resource) row(document json.RawMessage) []string {
	cells := make([]string, len(r.columns))
	compact, err := jsondoc.Compact(document)
	if err != nil {
		return cells // no document of this API
	}
	for i, column := range r.columns {
		cells[i] = text(compact, column.path)
	}
	return cells
}

func (r *resource) writeTable(out io.Writer, rows [][]string) error {
	columns := make([]output.Column[[]string], len(r.columns))
	for i, column := range r.columns {
		columns[i] = output.Column[[]string]{Heading: column.heading, Text: func(cells []string) string { return cells[i] }}
	}
	return output.Write(out, "", rows, columns)
}

// text returns a member of a compact document for people: text without quotes, other values as JSON, "" for none.
func text(compact json.RawMessage, path []string) string {
	value, ok := jsondoc.Get(compact, path...)
	switch {
	case !ok || string(value) == "null":
		return ""
	case strings.HasPrefix(string(value), `"`):
		return remote.Printable(jsondoc.String(compact, path...))
	}
	return string(value)
}

func article(noun string) string {
	if strings.ContainsRune("aeoAEO", rune(noun[0])) {
		return "an"
	}
	return "a"
}
