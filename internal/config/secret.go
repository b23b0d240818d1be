package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"unicode/utf8"
)

// redacted is printed in place of a secret.
const redacted = "[redacted]"

// Secret is a secret of the configuration. fmt, log/slog and encoding/json print it as "[redacted]"; string(s) is its
// value.
type Secret string

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String implements fmt.Stringer. An empty secret is printed as such: that it is missing is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Set implements pflag.Value. It removes line breaks at the end, which files and shells add. Text that is empty then is
// an error: a secret that is missing by mistake must not be taken for one that is not configured.
func (s *Secret) Set(text string) error {
	text = strings.TrimRight(text, "\r\n")
	if text == "" {
		return errors.New("is empty")
	}
	*s = Secret(text)
	return nil
}

// Type implements pflag.Value.
func (*Secret) Type() string { return "secret" }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MinSecret is the number of characters below which a secret can be guessed, and the server warns.
const MinSecret = 16

// Short reports whether the secret is set, and can be guessed.
func (s Secret) Short() bool { return s != "" && utf8.RuneCountInString(string(s)) < MinSecret }

// maxSecretFile is the maximum size of a file that contains a secret, in bytes: a mistaken path may name any file.
const maxSecretFile = 64 << 10

// readSecretFile returns the content of a file without line breaks at its end, which must not be empty.
func readSecretFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	if len(content) > maxSecretFile {
		return "", fmt.Errorf("read secret: %s has more than %d bytes", path, maxSecretFile)
	}
	value := strings.TrimRight(string(content), "\r\n")
	if strings.TrimSpace(value) == "" {
		return "", fmt.Errorf("read secret: %s is empty", path)
	}
	return value, nil
}
