package e2e_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gatehouse/conformance"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
	"gatehouse/openapi/scenarios"
)

// The environment variables that TestFuzz reads.
const (
	// fuzzTimeVariable is how long requests are sent: 1m in CI, 15m at night.
	fuzzTimeVariable = "FUZZ_TIME"
	// fuzzSeedVariable repeats the requests of a run, and fuzzRoundVariable only those of one round.
	fuzzSeedVariable, fuzzRoundVariable = "FUZZ_SEED", "FUZZ_ROUND"
)

const (
	// fuzzCallers is how many clients send requests at the same time.
	fuzzCallers = 32
	// roundLength is how many requests are sent to the same parties, before new ones are made.
	roundLength = 300
	// maxFailures bounds the failures that are printed.
	maxFailures = 40
	// fuzzBodyTimeout is the server's --body-timeout, for which a client waits whose body does not end. It is also the
	// longest that the machine may pause before a response is lost.
	fuzzBodyTimeout = "6s"
)

// fuzzParties are the users of a round: two organisations, and the permissions that a user can have.
func fuzzParties() []conformance.Party {
	return []conformance.Party{
		{Fixtures: []string{"user", "api", "policy", "organisation_key", "key", "nonce", "node"}},
		{Fixtures: []string{"user", "single_sign_on", "api", "policy"}},
		{Fixtures: []string{
			"user", "user_group", "oauth_api", "oauth_client", "asset", "certificate", "webhook",
			"portal_page", "portal_documentation", "portal_developer", "key_request",
		}},
		{Fixtures: []string{"user", "oas_api"}},
		{Fixtures: []string{"reader_of_users"}},
		{Fixtures: []string{"reader_of_apis", "api"}},
		{Fixtures: []string{"reader_of_keys"}},
		{Fixtures: []string{"writer_of_users"}},
		{Fixtures: []string{"writer_of_keys", "api", "policy"}},
		{Fixtures: []string{"user_without_permissions"}},
		{Fixtures: []string{"inactive_user"}, Refused: true},
		{Fixtures: []string{"super_user"}, Unbounded: true},
	}
}

// fuzzSuite returns the scenarios of the contracts.
func fuzzSuite(t *testing.T) *conformance.Suite {
	t.Helper()
	var documents [][]byte
	for _, get := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON, node.GetSpecJSON} {
		document, err := get()
		require.NoError(t, err)
		documents = append(documents, document)
	}
	spec, err := conformance.ParseSpec(documents...)
	require.NoError(t, err)
	suite, err := conformance.Load(spec, scenarios.Files, scenarios.Dir)
	require.NoError(t, err)
	return suite
}

// TestFuzz sends requests to the program, with its private Postgres, a gateway and a Redis: those that are generated
// from the contracts, valid and not, with good and bad credentials, and hostile bytes in their place. Whatever is sent,
// the response is one that the contract declares, no caller reads or changes documents of others, nothing hangs, and
// afterwards the server has what it had, answers as the scenarios say, and stops.
func TestFuzz(t *testing.T) {
	t.Parallel()
	f := newFuzzing(t)
	f.served = serveGateway(t, true, "GATEHOUSE_BODY_TIMEOUT="+fuzzBodyTimeout)
	f.log.discard(uneventful)

	f.run(f.duration / 4) // fills caches and pools
	before := f.settled()
	f.run(f.duration)
	f.report()
	f.requireResources(before)

	require.Empty(t, f.log.matching(faults), "the server logged faults")
	require.Equal(t, "0", f.sum("gatehouse_contract_departures_total"), "responses departed from the contract")
	ok(f.client().GetReadyWithResponse(t.Context()))(t)
	f.requireScenarios()
	require.Zero(t, f.stop(), f.log.String())
}

var (
	// uneventful matches the log lines of requests that did not fail.
	uneventful = regexp.MustCompile(`^time=\S+ level=INFO msg=request .* status=[1-4]\d\d took=`)
	// faults matches log lines that a client must not be able to cause.
	faults = regexp.MustCompile(`(?m)^(time=\S+ level=(ERROR|WARN msg="http: panic)|panic:|fatal error:|WARNING: DATA RACE).*$`)
)

// fuzzing is one run of TestFuzz.
type fuzzing struct {
	*served

	t        *testing.T
	suite    *conformance.Suite
	duration time.Duration
	seed     uint64
	only     int // the only round, or -1
	rounds   atomic.Int64

	mu       sync.Mutex // guards what follows, for the time of one update
	requests int
	hostile  int
	statuses map[string]int
	accepted map[string]int // by operation
	failures map[string]string
	slowest  time.Duration
	slowOne  string // the request that took longest
}

func newFuzzing(t *testing.T) *fuzzing {
	t.Helper()
	f := &fuzzing{
		t: t, suite: fuzzSuite(t), duration: 4 * time.Second, seed: rand.Uint64(), only: -1,
		statuses: map[string]int{}, accepted: map[string]int{}, failures: map[string]string{},
	}
	var err error
	if text := os.Getenv(fuzzTimeVariable); text != "" {
		f.duration, err = time.ParseDuration(text)
		require.NoError(t, err, fuzzTimeVariable)
	}
	if text := os.Getenv(fuzzSeedVariable); text != "" {
		f.seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, fuzzSeedVariable)
	}
	if text := os.Getenv(fuzzRoundVariable); text != "" {
		f.only, err = strconv.Atoi(text)
		require.NoError(t, err, fuzzRoundVariable)
	}
	return f
}

// run sends requests for some time, by all callers.
func (f *fuzzing) run(duration time.Duration) {
	f.t.Helper()
	if f.only >= 0 {
		f.round(f.t.Context(), f.only, time.Now().Add(bound))
		return
	}
	deadline := time.Now().Add(duration)
	var callers sync.WaitGroup
	for range fuzzCallers {
		callers.Go(func() {
			for time.Now().Before(deadline) && f.t.Context().Err() == nil {
				f.round(f.t.Context(), int(f.rounds.Add(1)), deadline)
			}
		})
	}
	callers.Wait()
}

// round makes parties, sends requests by them, and removes them.
func (f *fuzzing) round(ctx context.Context, round int, deadline time.Time) {
	dialer := &net.Dialer{LocalAddr: fuzzAddress(round)}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer transport.CloseIdleConnections()
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], f.seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(round))
	runner := conformance.NewRunner(conformance.RunnerConfig{
		Suite: f.suite, Run: fmt.Sprintf("fuzz%d", round), Random: rand.NewChaCha8(seed), Now: time.Now, CleanupTimeout: bound,
		Client: &http.Client{
			Transport: transport, Timeout: bound,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	sandbox, err := conformance.NewSandbox(ctx, runner, conformance.Target{
		URL:     "http://" + f.address,
		Secrets: map[string]string{"api_key": testAdminSecret, "node_secret": testNodeSecret},
	}, fuzzParties()...)
	if err != nil {
		f.failed(fmt.Sprintf("round %d", round), "preparation", err.Error())
		return
	}
	defer sandbox.Close(ctx)
	random := rand.New(rand.NewPCG(f.seed, uint64(round)))
	for n := range roundLength {
		if time.Now().After(deadline) {
			return
		}
		generated, err := sandbox.Generate(random)
		if err != nil {
			f.failed("generator", fmt.Sprintf("round %d, request %d", round, n), err.Error())
			return
		}
		at := fmt.Sprintf("round %d, request %d", round, n)
		if random.IntN(3) == 0 {
			f.sendHostile(ctx, dialer, sandbox, &hostileRequest{random: random, generated: generated, at: at})
			continue
		}
		started := time.Now()
		received, err := sandbox.Send(ctx, generated)
		f.count(generated, received.Status, time.Since(started), at+", "+generated.What)
		if err != nil {
			f.failed(generated.Operation.ID+" no response", at+", "+generated.What, err.Error()+"\n"+generated.Curl())
			continue
		}
		if differences := sandbox.Check(generated, received, false); differences != nil {
			f.differs(generated, received, differences, at+"\n"+generated.Curl())
		}
	}
}

// fuzzAddress returns the address of the client of a round. Each round has one of its own, as clients have: what the
// server limits by address, it limits for a round. Only Linux has all of 127.0.0.0/8.
func fuzzAddress(round int) net.Addr {
	address := &net.TCPAddr{IP: net.IPv4(127, 1, byte(round>>8), byte(round))}
	probe, err := net.ListenTCP("tcp", address)
	if err != nil {
		return nil
	}
	_ = probe.Close()
	return address
}

// differs records a response that is against the contract.
func (f *fuzzing) differs(
	generated *conformance.GeneratedRequest, received conformance.Received, all []conformance.Difference, how string,
) {
	const longest = 1000
	reason, _, _ := strings.Cut(all[0].Reason, ":")
	body := string(received.Body)
	if len(body) > longest {
		body = body[:longest] + "…"
	}
	f.failed(generated.Operation.ID+" "+strconv.Itoa(received.Status)+" "+reason, how,
		fmt.Sprintf("%s\n  %v\n  response: %d %s", generated.What, all, received.Status, body))
}

// failed records a failure; the first of each kind is reported.
func (f *fuzzing) failed(kind, how, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failures[kind] == "" {
		f.failures[kind] = how + "\n  " + text
	}
}

// count counts a request. how is "" for one that may wait for the server's time-outs, which is not to be the slowest.
func (f *fuzzing) count(generated *conformance.GeneratedRequest, status int, took time.Duration, how string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	f.statuses[strconv.Itoa(status)]++
	if how != "" && took > f.slowest {
		f.slowest, f.slowOne = took, fmt.Sprintf("%s %d, %s", generated.Operation.ID, status, how)
	}
	if status >= http.StatusOK && status < http.StatusMultipleChoices {
		f.accepted[generated.Operation.ID]++
	}
}

// report prints what was sent, and fails the test for each failure. A run that is long enough must have reached every
// operation.
func (f *fuzzing) report() {
	f.t.Helper()
	const enough = 400_000 // requests; of 55,000, some two succeeded of each operation that seldom does
	var statuses []string
	for _, status := range slices.Sorted(maps.Keys(f.statuses)) {
		statuses = append(statuses, fmt.Sprintf("%s: %d", status, f.statuses[status]))
	}
	f.t.Logf("%d requests, %d of them hostile bytes (%s=%d); by status: %s; the slowest of the others took %s: %s",
		f.requests, f.hostile, fuzzSeedVariable, f.seed, strings.Join(statuses, ", "),
		f.slowest.Round(time.Millisecond), f.slowOne)
	for i, kind := range slices.Sorted(maps.Keys(f.failures)) {
		if i == maxFailures {
			f.t.Errorf("and %d more", len(f.failures)-i)
			break
		}
		f.t.Errorf("%s\n  %s", kind, f.failures[kind])
	}
	if f.requests < enough {
		return
	}
	for _, op := range f.suite.Spec.Operations {
		if f.accepted[op.ID] == 0 && op.ID != "bootstrap" { // there is an organisation
			f.t.Errorf("no request to %s succeeded, of %d to all operations", op.ID, f.requests)
		}
	}
}

// requireScenarios drives all scenarios: after everything that was sent, the server behaves as documented.
func (f *fuzzing) requireScenarios() {
	f.t.Helper()
	runner := conformance.NewRunner(conformance.RunnerConfig{
		Suite: f.suite, Run: "after", Random: rand.NewChaCha8([32]byte{}), Now: time.Now, CleanupTimeout: bound,
		Client: &http.Client{
			Timeout:       bound,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	report, err := conformance.Check(f.t.Context(), runner, conformance.Options{
		Target: conformance.Target{
			URL: "http://" + f.address, Secrets: map[string]string{"api_key": testAdminSecret, "node_secret": testNodeSecret},
		},
		Parallel: 1, Provides: map[string]bool{"exclusive": true},
	})
	require.NoError(f.t, err)
	var text strings.Builder
	require.NoError(f.t, report.WriteText(&text))
	require.True(f.t, report.Held(), text.String())
}

// resources are what a server holds.
type resources struct {
	goroutines, heap, files, memory, connections float64

	profile string // of the heap
}

// sum returns the sum of a metric of the server.
func (f *fuzzing) sum(metric string) string {
	f.t.Helper()
	return strconv.FormatFloat(f.metric(f.page("/metrics"), metric), 'f', -1, 64)
}

func (f *fuzzing) metric(text, name string) (sum float64) {
	f.t.Helper()
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, name); found && strings.ContainsAny(rest[:1], " {") {
			value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
			require.NoError(f.t, err, line)
			sum += value
		}
	}
	return sum
}

// resources returns what the server holds, once it has collected its garbage.
func (f *fuzzing) resources() resources {
	f.t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	profile := f.page("/debug/pprof/heap?gc=1")
	text := f.page("/metrics")
	return resources{
		profile:    profile,
		goroutines: f.metric(text, "go_goroutines"), heap: f.liveHeap(),
		files: f.metric(text, "process_open_fds"), memory: f.metric(text, "process_resident_memory_bytes"),
		connections: f.metric(text, `gatehouse_postgres_connections{state="in_use"}`),
	}
}

// heapAlloc matches the size of the heap in a heap profile in text form.
var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// liveHeap returns the size of the heap in bytes without garbage. It is read behind a second collection, which a
// sync.Pool does not survive, and before the profile is written: that takes megabytes, and more of them the more places
// the program has allocated memory in, so that the metrics read afterwards say nothing about what is held.
func (f *fuzzing) liveHeap() float64 {
	f.t.Helper()
	found := heapAlloc.FindStringSubmatch(f.page("/debug/pprof/heap?gc=1&debug=1"))
	require.Len(f.t, found, 2)
	size, err := strconv.ParseFloat(found[1], 64)
	require.NoError(f.t, err)
	return size
}

// settled returns what the server holds when no request runs any more: nothing is in use, and two readings agree.
func (f *fuzzing) settled() (now resources) {
	f.t.Helper()
	const apart = 500 * time.Millisecond
	eventually(f.t, "the server is at rest", func() bool {
		last := f.resources()
		time.Sleep(apart)
		now = f.resources()
		return now.goroutines == last.goroutines && now.files == last.files && now.connections == 0
	})
	return now
}

// requireResources waits until the server holds what it held before.
func (f *fuzzing) requireResources(before resources) {
	f.t.Helper()
	const (
		// moreGoroutines and moreFiles allow for connections to Postgres, Redis and the gateway, of which a server
		// holds a few more at one time than at another.
		moreGoroutines, moreFiles = 10, 20
		// moreHeap allows for what is allocated while it is measured, and for the right credentials that are remembered.
		moreHeap = 4 << 20
	)
	var after resources
	settled := func() bool {
		after = f.resources()
		return after.goroutines <= before.goroutines+moreGoroutines && after.files <= before.files+moreFiles &&
			after.heap <= before.heap+moreHeap && after.connections == 0
	}
	for deadline := time.Now().Add(bound); !settled(); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			f.t.Errorf("the server holds more than before: %.0f, then %.0f (goroutines, heap, files, memory, connections)\n%s\n%s",
				before.numbers(), after.numbers(), growth(f.t, before.profile, after.profile),
				f.page("/debug/pprof/goroutine?debug=1"))
			return
		}
	}
	f.t.Logf("goroutines %.0f, then %.0f; heap %.1f MiB, then %.1f MiB; files %.0f, then %.0f; memory %.0f MiB, then %.0f MiB",
		before.goroutines, after.goroutines, before.heap/(1<<20), after.heap/(1<<20), before.files, after.files,
		before.memory/(1<<20), after.memory/(1<<20))
}

// numbers returns the resources without the profile.
func (r resources) numbers() []float64 {
	return []float64{r.goroutines, r.heap, r.files, r.memory, r.connections}
}

// growth returns the functions that hold more of the heap in the second profile than in the first.
func growth(t *testing.T, before, after string) string {
	t.Helper()
	dir := t.TempDir()
	for name, profile := range map[string]string{"before": before, "after": after} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(profile), 0o600))
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-top", "-cum", "-sample_index=inuse_space",
		"-nodecount=60", "-base="+filepath.Join(dir, "before"), filepath.Join(dir, "after"))
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	return string(text)
}

// sendHostile sends a request as other bytes than it was generated.
func (f *fuzzing) sendHostile(ctx context.Context, to *net.Dialer, sandbox *conformance.Sandbox, h *hostileRequest) {
	h.make()
	started := time.Now()
	received, err := h.send(ctx, to, f.address)
	how := h.at + ", " + strings.Join(h.how, ", ")
	f.count(h.generated, received.Status, time.Since(started), "")
	f.mu.Lock()
	f.hostile++
	f.mu.Unlock()
	switch {
	case errors.Is(err, errDropped) && h.mayBeDropped:
	case err != nil:
		f.failed(h.generated.Operation.ID+" "+strings.Join(h.how, " ")+" no response", how,
			err.Error()+"\n"+h.command(f.address))
	default:
		if differences := h.check(sandbox, received); differences != nil {
			f.differs(h.generated, received, differences, how+"\n"+h.command(f.address))
		}
	}
}
