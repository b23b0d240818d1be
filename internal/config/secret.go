package config

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// secretBytes makes a secret of 32 hexadecimal digits: 128 bits, out of reach of guessing.
const secretBytes = 16

// Secret is a secret that the server keeps for itself.
type Secret struct {
	Value string
	// Path is the file it is kept in; "" if it was configured.
	Path string
	// New: it was made just now.
	New bool
}

// KeptSecret returns the configured secret or, without one, the one that is kept in a file of the data directory,
// which only its owner can read. It is made if there is none.
func KeptSecret(configured, dir, name string) (Secret, error) {
	if configured != "" {
		return Secret{Value: configured}, nil
	}
	path := filepath.Join(dir, name)
	kept, err := os.ReadFile(path)
	if value := strings.TrimSpace(string(kept)); err == nil && value != "" {
		return Secret{Value: value, Path: path}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Secret{}, fmt.Errorf("secret: %w", err)
	}
	random := make([]byte, secretBytes)
	_, _ = rand.Read(random) // does not fail: it ends the program if the system has no randomness
	secret := Secret{Value: hex.EncodeToString(random), Path: path, New: true}
	return secret, writeSecret(path, secret.Value)
}

// writeSecret writes under another name and renames: a start that was killed half-way leaves no half secret.
func writeSecret(path, value string) error {
	const ownerOnly = 0o600
	if err := os.WriteFile(path+".new", []byte(value+"\n"), ownerOnly); err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	return nil
}
