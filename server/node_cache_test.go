package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"gatehouse/internal/gatewaytest"
	"gatehouse/store/storetest"
)

const (
	replicas = 3
	// simulated is the number of gateways that fetch at the same time.
	simulated = 50
	// pairs of APIs change together. The two of a pair are in different blocks of the list.
	pairs = 60
	// changeEvery is the number of responses for which there is at least one change.
	changeEvery = 10
)

// pairedAPIs are APIs of which two at a time change in one transaction. Each has the number of its last change.
type pairedAPIs struct {
	org       string
	last      atomic.Int64        // number of changes that were begun
	changing  [pairs]sync.Mutex   // held while a pair changes
	committed [pairs]atomic.Int64 // number of the last change of each pair that was acknowledged
}

func (p *pairedAPIs) id(pair, half int) string { return fmt.Sprintf("pair-%d-%d", half, pair) }

func (p *pairedAPIs) document(pair, half int, number int64) string {
	return apiOf(p.org, p.id(pair, half), fmt.Sprintf(`"config_data":{"number":%d}`, number))
}

// change changes a pair with a request or, as another program does, in the database.
func (p *pairedAPIs) change(b *bundle, pair int) {
	p.changing[pair].Lock()
	defer p.changing[pair].Unlock()
	number := p.last.Add(1)
	if number%5 != 0 {
		b.importAPIs(p.document(pair, 0, number), p.document(pair, 1, number)).is(200)
	} else {
		storetest.Exec(b.t, b.conn, `WITH changed AS (
				UPDATE apis SET document = CASE api_id WHEN $1 THEN $2 ELSE $4 END::json WHERE api_id IN ($1, $3) RETURNING 1)
			SELECT gatehouse_changed() FROM (SELECT count(*) FROM changed) AS all_of_them`,
			p.id(pair, 0), p.document(pair, 0, number), p.id(pair, 1), p.document(pair, 1, number))
	}
	p.committed[pair].Store(number)
}

// fetch requests the list as a gateway does, and requires it to have what was committed before, and pairs that belong
// together.
func (p *pairedAPIs) fetch(t *testing.T, url string, gzip bool) {
	var before [pairs]int64
	for i := range before {
		before[i] = p.committed[i].Load()
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/system/apis", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", nodeSecret)
	if !gzip {
		r.Header.Set("Accept-Encoding", "identity")
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var list struct {
		Message []struct {
			API struct {
				ID   string                 `json:"api_id"`
				Data struct{ Number int64 } `json:"config_data"`
			} `json:"api_definition"`
		}
		Nonce string
	}
	require.NoError(t, json.Unmarshal(text, &list), "%s", text)
	require.NotEmpty(t, list.Nonce)
	require.Len(t, list.Message, 2*pairs)
	numbers := map[string]int64{}
	for _, item := range list.Message {
		numbers[item.API.ID] = item.API.Data.Number
	}
	for pair := range pairs {
		first, second := numbers[p.id(pair, 0)], numbers[p.id(pair, 1)]
		require.Equal(t, first, second, "the response has half of a change")
		require.GreaterOrEqual(t, first, before[pair], "the response lacks a change")
	}
}

// answersOfTest is how many responses a test requires: 2,000, or what NODE_ANSWERS says.
func answersOfTest(t *testing.T) int64 {
	t.Helper()
	text, ok := os.LookupEnv("NODE_ANSWERS")
	if !ok {
		return 2000
	}
	answers, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return answers
}

// TestNodeListsHaveWhatWasCommitted: gateways fetch from servers on one database while each of these changes APIs.
// Every response has all that was acknowledged before its request, and is of one time.
func TestNodeListsHaveWhatWasCommitted(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	var servers [replicas]*bundle
	var urls [replicas]string
	for i := range servers {
		servers[i] = setupOn(t, conn)
		web := httptest.NewServer(servers[i].server) // its responses are checked less, for speed
		t.Cleanup(web.Close)
		urls[i] = web.URL
		gatewaytest.Eventually(t, soon, "the server listens", servers[i].store.Listening)
	}
	p := &pairedAPIs{org: servers[0].org()}
	var documents []string
	for half := range 2 {
		for pair := range pairs {
			documents = append(documents, p.document(pair, half, 0))
		}
	}
	servers[0].importAPIs(documents...).is(200)

	wanted := answersOfTest(t)
	var answers atomic.Int64
	goOn := func() bool {
		return (answers.Load() < wanted || p.last.Load() < wanted/changeEvery) && !t.Failed()
	}
	var running sync.WaitGroup
	for i, b := range servers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for goOn() {
				p.change(b, random.IntN(pairs))
			}
		})
	}
	for i := range simulated {
		running.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(i)))
			for goOn() {
				p.fetch(t, urls[random.IntN(replicas)], random.IntN(4) > 0)
				answers.Add(1)
			}
		})
	}
	running.Wait()
	reads := 0
	for _, b := range servers {
		reads += b.listReads("getNodeAPIs")
	}
	if t.Failed() {
		t.Log(servers[0].log.String())
	}
	t.Logf("%d responses during %d changes took %d reads", answers.Load(), p.last.Load(), reads)
	require.Less(t, reads, int(answers.Load())/2, "requests share what is read")
}

// listReads returns how often the server has read a list for gateways from the database.
func (b *bundle) listReads(operation string) int {
	b.t.Helper()
	prefix := `gatehouse_node_list_reads_total{operation="` + operation + `"} `
	_, count, _ := strings.Cut(b.admin("GET", "/metrics", nil).is(200).body, prefix)
	count, _, _ = strings.Cut(count, "\n")
	reads, _ := strconv.Atoi(count) // nothing is none
	return reads
}
