package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// maxLine is the longest line that is read, in bytes.
const maxLine = 4 << 10

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	file, isFile := stream.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// readLine reads a line, without its end. It reads nothing of what follows.
func readLine(in io.Reader) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		n, err := in.Read(one)
		switch {
		case n == 1 && one[0] == '\n', errors.Is(err, io.EOF):
			return strings.TrimSuffix(string(line), "\r"), nil
		case err != nil:
			return "", err
		case n == 1:
			line = append(line, one[0])
		}
		if len(line) > maxLine {
			return "", fmt.Errorf("a line has more than %d bytes", maxLine)
		}
	}
}

// readPassword reads a password: on a terminal twice, without showing it, elsewhere the first line. It is UTF-8: in
// JSON, other bytes would become another password.
func readPassword(ctx context.Context, in io.Reader, log io.Writer) (password string, err error) {
	if isTerminal(in) {
		password, err = askPasswordTwice(ctx, in, log)
	} else {
		password, err = readLine(in)
	}
	if err == nil && !utf8.ValidString(password) {
		err = errors.New("the password is not UTF-8: nothing was changed")
	}
	return password, err
}

func askPasswordTwice(ctx context.Context, in io.Reader, log io.Writer) (string, error) {
	password, err := askPassword(ctx, in, log, "New password: ")
	if err != nil {
		return "", err
	}
	again, err := askPassword(ctx, in, log, "Again: ")
	if err == nil && again != password {
		err = errors.New("the passwords differ: nothing was changed")
	}
	return password, err
}

// askPassword asks for a password on a terminal, which shows what is typed again afterwards.
func askPassword(ctx context.Context, terminal io.Reader, log io.Writer, question string) (string, error) {
	fd := int(terminal.(*os.File).Fd()) //nolint:forcetypeassert // a terminal is a file
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(log, question)
	defer fmt.Fprintln(log)
	return answer(ctx, func() (string, error) {
		typed, err := term.ReadPassword(fd)
		return string(typed), err
	}, func() { _ = term.Restore(fd, before) })
}

// errInterrupted is returned if Ctrl-C ends a question.
var errInterrupted = errors.New("interrupted: nothing was changed")

// answer returns what read reads or, if ctx ends first, errInterrupted after a call of restore. Nothing ends a read of
// a terminal: it goes on until the program has ended.
func answer(ctx context.Context, read func() (string, error), restore func()) (text string, err error) {
	done := make(chan struct{})
	var typed string
	var failure error
	go func() {
		defer close(done)
		typed, failure = read()
	}()
	select {
	case <-done:
		return typed, failure
	case <-ctx.Done():
		restore()
		return "", errInterrupted
	}
}
