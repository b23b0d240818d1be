package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/config"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const value = "correct-horse"
	cfg := config.Config{
		Server: config.Server{
			AdminSecret: value, NodeSecret: value, SecondAdminSecret: value, SecondNodeSecret: value,
		},
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
	t.Run("a file that is empty, or that every account can use, is an error", func(t *testing.T) {
		path := filepath.Join(dir, "bad")
		for content, want := range map[string]string{"": path + " is empty", " \n": path + " is empty", "a \n": "white space", "a\nb": "control character"} {
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			_, err := config.LoadSecret("", dir, "bad")
			require.ErrorContains(t, err, want)
		}
		require.NoError(t, os.WriteFile(path, []byte("good\n"), 0o600))
		for mode, ok := range map[os.FileMode]bool{
			0o600: true, 0o400: true, 0o640: true, 0o660: true, 0o644: false, 0o602: false, 0o666: false,
		} {
			require.NoError(t, os.Chmod(path, mode))
			_, err := config.LoadSecret("", dir, "bad")
			if ok {
				require.NoError(t, err, "%04o", mode)
			} else {
				require.ErrorContains(t, err, "run chmod 600 "+path, "%04o", mode)
			}
		}
	})
	t.Run("starts at the same time agree", func(t *testing.T) {
		const starts = 16
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "new-secret.new"), []byte("half"), 0o644), "of a killed start")
		got := make(chan config.StoredSecret, starts)
		for range starts {
			go func() {
				secret, err := config.LoadSecret("", dir, "new-secret")
				assert.NoError(t, err)
				got <- secret
			}()
		}
		values, generated := map[config.Secret]bool{}, 0
		for range starts {
			secret := <-got
			values[secret.Value] = true
			if secret.Generated {
				generated++
			}
		}
		require.Len(t, values, 1)
		require.Equal(t, 1, generated)
	})
	t.Run("reloading generates none", func(t *testing.T) {
		_, err := config.ReloadSecret("", t.TempDir(), "admin-secret")
		require.ErrorIs(t, err, os.ErrNotExist)
	})
	t.Run("a file that cannot be read is an error", func(t *testing.T) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
		_, err := config.LoadSecret("", dir, "directory")
		require.ErrorContains(t, err, "read secret: ")
	})
}
