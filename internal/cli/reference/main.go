// Command reference writes the reference of gatehouse's commands and of the outcomes of its operations, as Markdown
// pages, or with -man manual pages of the commands.
//
//	go run ./internal/cli/reference docs/reference
//	go run ./internal/cli/reference -man /usr/local/share/man/man1
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra/doc"

	"gatehouse/internal/cli"
)

func main() {
	manual := flag.Bool("man", false, "write manual pages instead of Markdown")
	flag.Parse()
	write := writeMarkdown
	if *manual {
		write = writeManual
	}
	err := errors.New("expected one argument, the directory to write to")
	if flag.NArg() == 1 {
		err = write(flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

// writeMarkdown writes a page for each command, and removes the pages of commands that are gone.
func writeMarkdown(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "gatehouse*.md"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	root := cli.New(cli.Streams{})
	root.DisableAutoGenTag = true // it has the date
	if err := doc.GenMarkdownTree(root, dir); err != nil {
		return err
	}
	return writeOutcomes(filepath.Join(dir, outcomesPage))
}

// writeManual writes a manual page for each command. Their date is that of SOURCE_DATE_EPOCH, or today.
func writeManual(dir string) error {
	const everybodyReads = 0o755
	if err := os.MkdirAll(dir, everybodyReads); err != nil {
		return err
	}
	header := &doc.GenManHeader{Source: "gatehouse " + cli.Version(), Manual: "gatehouse"}
	root := cli.New(cli.Streams{})
	root.DisableAutoGenTag = true
	return doc.GenManTree(root, header, dir)
}
