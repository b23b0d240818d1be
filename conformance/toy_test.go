package conformance_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
)

const harbourKey = "the-harbour-key"

// harbour is a server of testdata/toy.yaml.
type harbour struct {
	mu    sync.Mutex // guards boats and calls
	boats map[string]map[string]any
	calls []string
	made  int
	// forgetful servers lose the length of a boat.
	forgetful bool
	// open servers return a boat to every client, also without a credential.
	open bool
}

func startHarbour(t *testing.T) (*harbour, conformance.Target) {
	t.Helper()
	h := &harbour{boats: map[string]map[string]any{}}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return h, conformance.Target{URL: server.URL, Secrets: map[string]string{"harbour": harbourKey}}
}

func (h *harbour) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, r.Method+" "+r.URL.Path)
	id := strings.TrimPrefix(r.URL.Path, "/boats/")
	boat := h.boats[id]
	if h.open && r.Method == http.MethodGet && boat == nil {
		for _, other := range h.boats {
			boat = other
		}
	}
	switch {
	case r.Method == http.MethodGet && (boat == nil || !h.open && boat["key"] != r.Header.Get("Boat-Key")),
		r.Method != http.MethodGet && r.Header.Get("Harbour-Key") != harbourKey:
		reply(w, http.StatusUnauthorized, map[string]any{"Message": "Not for you"})
	case r.Method == http.MethodGet:
		reply(w, http.StatusOK, boat)
	case r.Method == http.MethodDelete && boat == nil:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(h.boats, id)
		reply(w, http.StatusOK, map[string]any{"Message": "Removed"})
	default:
		h.register(w, r)
	}
}

func (h *harbour) register(w http.ResponseWriter, r *http.Request) {
	boat := map[string]any{}
	_ = json.NewDecoder(r.Body).Decode(&boat)
	for _, other := range h.boats {
		if other["name"] == boat["name"] {
			reply(w, http.StatusConflict, map[string]any{"Message": fmt.Sprintf("%s is taken", boat["name"])})
			return
		}
	}
	h.made++
	boat["id"], boat["key"], boat["registered"] = fmt.Sprintf("b%d", h.made), fmt.Sprintf("secret-%d", h.made), "2027-05-06"
	if h.forgetful {
		boat["length"] = 0
	}
	h.boats[boat["id"].(string)] = boat
	reply(w, http.StatusCreated, boat)
}

func (h *harbour) sent() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.calls...)
}

func (h *harbour) left() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.boats)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// toyFiles returns the scenario files of the toy, in which each change, a pair of texts, replaces the first by the
// second in the file of the name.
func toyFiles(t *testing.T, file string, change ...string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{"common.yaml", "boats.yaml"} {
		text, err := os.ReadFile("testdata/toy/" + name)
		require.NoError(t, err)
		if name == file {
			for i := 0; i < len(change); i += 2 {
				require.Contains(t, string(text), change[i])
				text = []byte(strings.Replace(string(text), change[i], change[i+1], 1))
			}
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

func loadToy(t *testing.T, files fs.FS) (*conformance.Suite, error) {
	t.Helper()
	spec, err := conformance.ReadSpec("testdata/toy.yaml")
	require.NoError(t, err)
	return conformance.Load(spec, files, "toy")
}

func toyRunner(t *testing.T, files fs.FS, change ...func(*conformance.RunnerConfig)) *conformance.Runner {
	t.Helper()
	suite, err := loadToy(t, files)
	require.NoError(t, err)
	cfg := conformance.RunnerConfig{
		Suite: suite, Client: http.DefaultClient, Run: "r1", Random: rand.Reader, Now: time.Now,
		CleanupTimeout: time.Minute,
	}
	for _, c := range change {
		c(&cfg)
	}
	return conformance.NewRunner(cfg)
}

func checkToy(t *testing.T, target conformance.Target, files fs.FS) *conformance.Report {
	t.Helper()
	report, err := conformance.Check(t.Context(), toyRunner(t, files), conformance.Options{Target: target, Parallel: 3})
	require.NoError(t, err)
	return report
}
