package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/config"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const value = "correct-horse"
	cfg := config.Config{
		Server:   config.Server{AdminSecret: value, NodeSecret: value},
		Database: config.Database{URL: "postgres://user:" + value + "@host/db"},
		Gateway:  config.Gateway{Secret: value},
		Redis:    config.Redis{Password: value},
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", cfg)
		fmt.Fprintf(&out, verb+"\n", cfg.Server.AdminSecret)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("configured", "config", cfg, "secret", cfg.Server.AdminSecret)
	}
	require.NoError(t, json.NewEncoder(&out).Encode(cfg))
	require.NotContains(t, out.String(), value)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", value))
	require.Contains(t, out.String(), "[redacted]")
	require.Empty(t, fmt.Sprint(config.Secret("")))
}

func TestLoadSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "admin-secret")

	t.Run("a configured secret is used and not stored", func(t *testing.T) {
		secret, err := config.LoadSecret("configured", dir, "admin-secret")
		require.NoError(t, err)
		require.Equal(t, config.StoredSecret{Value: "configured"}, secret)
		require.NoFileExists(t, path)
	})
	t.Run("otherwise it is generated once, for its owner only", func(t *testing.T) {
		generated, err := config.LoadSecret("", dir, "admin-secret")
		require.NoError(t, err)
		require.Equal(t, config.StoredSecret{Value: generated.Value, Path: path, Generated: true}, generated)
		require.Len(t, string(generated.Value), 32)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

		stored, err := config.LoadSecret("", dir, "admin-secret")
		require.NoError(t, err)
		require.Equal(t, config.StoredSecret{Value: generated.Value, Path: path}, stored)
	})
	t.Run("a file that cannot be read is an error", func(t *testing.T) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
		_, err := config.LoadSecret("", dir, "directory")
		require.ErrorContains(t, err, "read secret: ")
	})
}
