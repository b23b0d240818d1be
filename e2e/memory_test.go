package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/testprogram"
	"gatehouse/store/storetest"
)

// hostileBodies are how many bodies are sent at the same time.
const hostileBodies = 64

// maxResident is the maximum of the resident memory of a server that gets hostileBodies at once, in bytes.
const maxResident = 256 << 20

// compressedTo returns a compressed text of about size bytes: a prefix, a pattern as often as needed, and a suffix.
func compressedTo(t *testing.T, encoding string, size int, parts [3]string) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if encoding == "zstd" {
		var err error
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1)) // which writes to out in Write only
		require.NoError(t, err)
	}
	_, err := io.WriteString(w, parts[0])
	require.NoError(t, err)
	pattern := strings.Repeat(parts[1], 1+(64<<10)/len(parts[1]))
	for written := 0; out.Len() < size && written < 1<<30; written += len(pattern) {
		_, err = io.WriteString(w, pattern)
		require.NoError(t, err)
	}
	_, err = io.WriteString(w, parts[2])
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// noise returns a JSON string of n characters that hardly compresses.
func noise(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return strconv.Quote(string(text))
}

// membersOf returns n members of an object, each with a comma before it.
func membersOf(n int) string {
	var members strings.Builder
	for i := range n {
		fmt.Fprintf(&members, `,"%d":0`, i)
	}
	return members.String()
}

// hostileBody is a body that many clients send at once.
type hostileBody struct {
	path, encoding string
	body           []byte
	chunked        bool // without a Content-Length
	statuses       []int
}

// TestMemoryOfHostileBodies sends many bodies at once that are large, or become so when they are decoded. The peak of
// the server's resident memory stays below maxResident.
func TestMemoryOfHostileBodies(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		testprogram.Missing(t, "/proc, which has the peak of a process's memory")
	}
	const large, small = 2_500_000, 4_000
	const limit = 512 << 10 // of an organisation
	values := [3]string{`{"x":[0`, `,0`, `]}`}
	texts := [3]string{`{"x":[""`, `,` + noise(3000), `]}`}
	wrong := `{"apis":[0` + strings.Repeat(",0", limit/2-10) + `]}`
	tooLarge, refused := []int{413}, []int{403}
	for name, h := range map[string]hostileBody{
		"gzip of 1 MB, for 1 GiB":          {"/admin/organisations", "gzip", compressedTo(t, "gzip", large, values), false, tooLarge},
		"gzip of 1 MB, for 1 GiB, chunked": {"/admin/organisations", "gzip", compressedTo(t, "gzip", large, values), true, tooLarge},
		"gzip of 2.5 MB of texts":          {"/admin/organisations", "gzip", compressedTo(t, "gzip", large, texts), true, tooLarge},
		"gzip of 4 KB":                     {"/admin/organisations", "gzip", compressedTo(t, "gzip", small, values), false, tooLarge},
		"zstd of 4 KB":                     {"/admin/organisations", "zstd", compressedTo(t, "zstd", small, values), false, tooLarge},
		"zstd of 2.5 MB":                   {"/admin/organisations", "zstd", compressedTo(t, "zstd", large, texts), true, tooLarge},
		"many values":                      {"/admin/organisations", "", []byte(`{"x":[0` + strings.Repeat(",0", limit/2-10) + `]}`), false, refused},
		"many problems":                    {"/admin/organisations", "", []byte(wrong[:190_000] + `0]}`), false, refused},
		"one name":                         {"/admin/organisations", "", []byte(`{"a":0` + strings.Repeat(`,"a":0`, 45_000) + `}`), false, []int{200}},
		"many members":                     {"/admin/organisations", "", []byte(`{"a":0` + membersOf(40_000) + `,"a":1}`), false, []int{200}},
		"deep":                             {"/admin/organisations", "", []byte(strings.Repeat(`{"a":`, limit/5)), false, refused},
		"large, valid":                     {"/admin/organisations", "", []byte(`{"x":` + noise(limit-100) + `}`), false, []int{200}},
		"large, valid, gzip":               {"/admin/organisations", "gzip", compressedTo(t, "gzip", 1, [3]string{`{"x":` + noise(limit-50_000), " ", `}`}), false, []int{200}},
		"import, gzip of 4 KB":             {"/admin/apis/import", "gzip", compressedTo(t, "gzip", small, [3]string{`{"apis":[{"x":[0`, `,0`, `]}]}`}), false, refused},
		"import, zstd of 4 KB":             {"/admin/apis/import", "zstd", compressedTo(t, "zstd", small, [3]string{`{"apis":[{"x":[""`, `,` + noise(3000), `]}]}`}), false, []int{403, 413}},
		"import, one document":             {"/admin/apis/import", "", []byte(`{"apis":[{"x":` + noise(large) + `}]}`), true, refused},
		"of another operation":             {"/admin/users", "gzip", compressedTo(t, "gzip", small, values), false, tooLarge},
		"sign-on":                          {"/admin/sso", "", []byte(`{"OrgID":[0` + strings.Repeat(",0", 40_000) + `]}`), false, refused},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, "DATABASE_URL="+storetest.EmptyDatabase(t))
			before := peakMemory(t, s.process.Process.Pid)
			sendAtOnce(t, func() error { return s.sendHostile(h, "") })
			peak := peakMemory(t, s.process.Process.Pid)
			t.Logf("%d MiB, %d MiB before; %d bytes each", peak>>20, before>>20, len(h.body))
			require.Less(t, peak, int64(maxResident))
			ok(s.client().GetHelloWithResponse(t.Context()))(t)
		})
	}
}

// TestMemoryOfYAML sends many YAML documents at once, and requests many. The values of most are as short as they can
// be: a tree of them takes several hundred times the memory of the document.
func TestMemoryOfYAML(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		testprogram.Missing(t, "/proc, which has the peak of a process's memory")
	}
	const most = 2_000_000 // bytes; x-max-body is a little more
	const api = `{"openapi":"3.0.3","info":{"title":"Tides","version":"1"},"paths":{},"x-tyk-api-gateway":{"info":{"name":"Tides","id":"tides"},` +
		`"upstream":{"url":"http://tides.example"},"server":{"listenPath":{"value":"/tides/"}}},"x-values":`
	flow := func(pattern string, size int) []byte {
		return []byte("[" + strings.Repeat(pattern, size/len(pattern)-1) + "a]")
	}
	list := func(element string, size int) []byte {
		return []byte(api + "[" + strings.Repeat(element+",", size/len(element+",")-len(api)) + element + "]}")
	}
	for name, h := range map[string]hostileBody{
		"too many values":                 {"/api/apis/oas", "", flow("a,", most), false, []int{400}},
		"too many anchors":                {"/api/apis/oas/import", "", flow("&a b,", most), false, []int{400}},
		"of a middling size":              {"/api/apis/oas", "", flow("a,", 40_000), false, []int{400}},
		"small":                           {"/api/apis/oas/import", "", flow("a,", 16_000), false, []int{400}},
		"an API of short values, as YAML": {"/api/apis/oas", "", list("0", 200_000), false, []int{200}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, "DATABASE_URL="+storetest.EmptyDatabase(t))
			key := s.newAdministrator()
			send := func() error { return s.sendHostile(h, key) }
			if h.statuses[0] == http.StatusOK {
				require.NoError(t, send())
				send = func() error { return s.getYAML("/api/apis/oas/tides", key) }
			}
			before := peakMemory(t, s.process.Process.Pid)
			sendAtOnce(t, send)
			peak := peakMemory(t, s.process.Process.Pid)
			t.Logf("%d MiB, %d MiB before; %d bytes each", peak>>20, before>>20, len(h.body))
			require.Less(t, peak, int64(maxResident))
			ok(s.client().GetHelloWithResponse(t.Context()))(t)
		})
	}
}

// TestMemoryOfListsForGateways has a user store documents that compress to a thousandth. To make the list of them for
// gateways takes the memory of some of them only, however few bytes they occupy in the database.
func TestMemoryOfListsForGateways(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		testprogram.Missing(t, "/proc, which has the peak of a process's memory")
	}
	const documents, size, most = 40, 1_900_000, 48 << 20
	s := startServer(t, "DATABASE_URL="+storetest.EmptyDatabase(t), "TYK_DB_NODESECRET="+testNodeSecret)
	key := s.newAdministrator()
	for i := range documents {
		api := fmt.Sprintf(`{"openapi":"3.0.3","info":{"title":"t","version":"1","description":"%s"},"paths":{},"x-tyk-api-gateway":{`+
			`"info":{"name":"t%d","state":{"active":true}},"upstream":{"url":"http://t.example"},"server":{"listenPath":{"value":"/t%d/"}}}}`,
			strings.Repeat("a", size), i, i)
		require.NoError(t, s.sendHostile(hostileBody{path: "/api/apis/oas", body: []byte(api), statuses: []int{200}}, key))
	}
	require.Zero(t, s.stop())
	s.start() // without what storing them took
	before := peakMemory(t, s.process.Process.Pid)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.address+"/system/apis", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", testNodeSecret)
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	list, err := gzip.NewReader(resp.Body)
	require.NoError(t, err)
	sent, err := io.Copy(io.Discard, list)
	require.NoError(t, err)
	require.Greater(t, sent, int64(documents*size))
	peak := peakMemory(t, s.process.Process.Pid)
	t.Logf("%d MiB, %d MiB before", peak>>20, before>>20)
	require.Less(t, peak-before, int64(most))
}

// sendAtOnce calls send hostileBodies times at the same time. Each has a connection of its own.
func sendAtOnce(t *testing.T, send func() error) {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, hostileBodies)
	for i := range hostileBodies {
		all.Go(func() { errs[i] = send() })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// sendHostile sends a body with the admin secret and a user's access key.
func (s *server) sendHostile(h hostileBody, key string) error {
	var body io.Reader = bytes.NewReader(h.body)
	if h.chunked {
		body = io.MultiReader(body)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.address+h.path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Admin-Auth", s.adminSecret())
	r.Header.Set("Authorization", key)
	if h.encoding != "" {
		r.Header.Set("Content-Encoding", h.encoding)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if slices.Contains(h.statuses, http.StatusRequestEntityTooLarge) && isClosed(err) {
		return nil // the server refused the body, and closed the connection while this client still sent it
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if slices.Contains(h.statuses, resp.StatusCode) {
		return err
	}
	return fmt.Errorf("status %d: %s", resp.StatusCode, text[:min(len(text), 500)])
}

// getYAML requests a document as YAML, and reads it.
func (s *server) getYAML(path, key string) error {
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", key)
	r.Header.Set("Accept", "application/x-yaml")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	begin := make([]byte, len("openapi: 3.0.3"))
	if _, err = io.ReadFull(resp.Body, begin); err != nil || string(begin) != "openapi: 3.0.3" {
		return fmt.Errorf("status %d: %s: %w", resp.StatusCode, begin, err)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// isClosed reports whether the server has closed the connection of a request.
func isClosed(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// peakMemory returns the peak of a process's resident memory in bytes (proc(5): VmHWM).
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	peak, err := readPeakMemory(pid)
	require.NoError(t, err)
	return peak
}

// readPeakMemory is peakMemory for goroutines that must not end the test.
func readPeakMemory(pid int) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM")
}
