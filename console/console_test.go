package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/console"
	"gatehouse/server"
)

// TestVendoredLibraries checks that no library was changed without its entry in vendored.txt, and that each has its
// licence.
func TestVendoredLibraries(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("vendor/vendored.txt")
	require.NoError(t, err)
	listed := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		columns := strings.Fields(line)
		require.Len(t, columns, 5, line)
		file, library, sum := columns[0], columns[1], columns[4]
		text, err := os.ReadFile(path.Join("vendor", file))
		require.NoError(t, err)
		digest := sha256.Sum256(text)
		assert.Equal(t, sum, hex.EncodeToString(digest[:]), "%s: run vendor/update.sh", file)
		assert.FileExists(t, "vendor/LICENSE."+library)
		listed["vendor/"+file] = true
	}
	files, err := filepath.Glob("vendor/*.js")
	require.NoError(t, err)
	for _, file := range files {
		assert.True(t, listed[file], "%s is not in vendored.txt: run vendor/update.sh", file)
	}
}

// modules returns the sources of all modules by their names, but not those of libraries.
func modules(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, folder := range []string{".", "lib", "pages"} {
		files, err := filepath.Glob(folder + "/*.js")
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			sources[filepath.ToSlash(file)] = string(text)
		}
	}
	require.Greater(t, len(sources), 10)
	return sources
}

// TestModules checks that imports name modules that exist, and that nothing turns text into HTML or code.
func TestModules(t *testing.T) {
	t.Parallel()
	imported := regexp.MustCompile(`(?:\bfrom |\bimport |\bimport\()'([^']+)'`)
	unsafe := regexp.MustCompile(`dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc`)
	for name, source := range modules(t) {
		for _, match := range imported.FindAllStringSubmatch(source, -1) {
			if strings.Contains(match[0], "import('../types") || strings.Contains(source, "@typedef {import('"+match[1]) {
				continue // of a type
			}
			assert.True(t, strings.HasPrefix(match[1], "."), "%s imports %s", name, match[1])
			assert.FileExists(t, path.Join(path.Dir(name), match[1]), name)
		}
		assert.Empty(t, unsafe.FindString(source), name)
	}
}

// TestFiles requests every file as a browser does.
func TestFiles(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *server.Config) { cfg.BasePath = "/tyk" })
	redirected := get(t, s.url+"/tyk/console")
	require.Equal(t, http.StatusTemporaryRedirect, redirected.StatusCode)
	require.Equal(t, "console/", redirected.Header.Get("Location"))

	files := console.Files()
	require.Greater(t, len(files), 20)
	for _, file := range files {
		address := s.url + "/tyk" + file.Path
		if file.Path == console.Path {
			address += "/"
		}
		response := get(t, address)
		require.Equal(t, http.StatusOK, response.StatusCode, address)
		header := response.Header
		require.Equal(t, "gzip", header.Get("Content-Encoding"), address)
		require.Equal(t, file.MediaType, header.Get("Content-Type"))
		require.NotEqual(t, "application/octet-stream", file.MediaType, address)
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", header.Get("Referrer-Policy"))
		if file.Path != console.Path {
			require.Equal(t, "public, max-age=31536000, immutable", header.Get("Cache-Control"), address)
			continue
		}
		require.Equal(t, "no-cache", header.Get("Cache-Control"))
		require.Equal(t, "same-origin", header.Get("Cross-Origin-Opener-Policy"))
		require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "+
			"frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", header.Get("Content-Security-Policy"))
		fresh := get(t, address, "If-None-Match", header.Get("ETag"))
		require.Equal(t, http.StatusNotModified, fresh.StatusCode)
	}
}

func TestConsoleCanBeOff(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *server.Config) { cfg.Console = false })
	for _, file := range console.Files() {
		require.Equal(t, http.StatusNotFound, get(t, s.url+file.Path).StatusCode, file.Path)
	}
	require.Equal(t, http.StatusNotFound, get(t, s.url+"/console/").StatusCode)
}

// TestEveryFileIsServed checks that the folders have no file that is not embedded.
func TestEveryFileIsServed(t *testing.T) {
	t.Parallel()
	served := map[string]bool{}
	for _, file := range console.Files() {
		_, name, _ := strings.Cut(strings.TrimPrefix(file.Path, console.Path+"/"), "/")
		served[name] = true
	}
	for _, folder := range []string{"lib", "pages"} {
		require.NoError(t, fs.WalkDir(os.DirFS("."), folder, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				assert.True(t, served[name], "%s is not served", name)
			}
			return err
		}))
	}
}

// get sends a request that accepts gzip; no redirect is followed, and nothing is decompressed.
func get(t *testing.T, address string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	r.Header.Set("Accept-Encoding", "gzip")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response
}
