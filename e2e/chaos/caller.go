package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gatehouse/client"
	"gatehouse/conformance"
)

// requestTimeout is the timeout of a request. A commit waits without limit for a standby that does not run.
const requestTimeout = 4 * time.Second

// verdict is the effect of a request, as far as its response tells.
type verdict int

const (
	acknowledged verdict = iota // the request succeeded
	uncertain                   // no response, or a failure: the request may have taken effect, or may still do so
	absent                      // the object does not exist
	refused                     // the request was rejected because of the client
)

// answer is the result of a request: a response or an error.
type answer struct {
	verdict   verdict
	operation string
	body      []byte
	text      string // for messages
}

// textsOf returns the texts of answers, one per line.
func textsOf(answers []answer) string {
	var texts strings.Builder
	for _, a := range answers {
		texts.WriteString("\n\t" + a.text)
	}
	return texts.String()
}

// caller sends requests of one client to one server.
type caller struct {
	api       *api
	server    string // for messages
	contracts *contracts
	report    *report
}

// callerConfig configures a caller.
type callerConfig struct {
	server, address      string
	adminSecret, userKey string
	// oneRequest closes each connection after one request. net/http retries a GET if a reused connection breaks.
	oneRequest bool
}

func newCaller(cfg callerConfig, contracts *contracts, report *report) (*caller, error) {
	c := &caller{server: cfg.server, contracts: contracts, report: report}
	transport := &http.Transport{DisableKeepAlives: cfg.oneRequest}
	doer := &recorder{contracts: contracts, http: &http.Client{
		Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var err error
	c.api, err = client.New("http://"+cfg.address, client.WithAdminSecret(cfg.adminSecret),
		client.WithAccessKey(cfg.userKey), client.WithHTTPClient(doer))
	return c, err
}

// recorder stores the operation of each request in the variable that its context refers to.
type recorder struct {
	contracts *contracts
	http      *http.Client
}

// recorded is the key of the context value of type **conformance.Operation that Do sets.
type recorded struct{}

// Do implements client.HttpRequestDoer.
func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	if found, ok := request.Context().Value(recorded{}).(**conformance.Operation); ok {
		*found = r.contracts.operation(request.Method, request.URL.Path)
	}
	return r.http.Do(request)
}

// do sends a request and classifies its response.
func (c *caller) do(ctx context.Context, send call, t target) answer {
	var op *conformance.Operation
	got, err := send(context.WithValue(ctx, recorded{}, &op), c.api, t)
	if op == nil {
		return answer{verdict: uncertain, text: fmt.Sprintf("no operation: %v", err)}
	}
	if err != nil {
		c.report.count("requests without a response", 1)
		return answer{verdict: uncertain, operation: op.ID, text: fmt.Sprintf("%s of server %s: %v", op.ID, c.server, err)}
	}
	a := answer{
		verdict: c.verdict(op, got), operation: op.ID, body: got.GetBody(),
		text: fmt.Sprintf("%s of server %s: %d %.300s", op.ID, c.server, got.StatusCode(), got.GetBody()),
	}
	switch {
	case a.verdict == acknowledged && isWrite(op):
		c.report.acknowledge(op.ID)
	case a.verdict == uncertain:
		c.report.count("requests that failed", 1)
	}
	return a
}

func (c *caller) verdict(op *conformance.Operation, got response) verdict {
	status := got.StatusCode()
	if status == http.StatusOK || status == http.StatusCreated {
		return acknowledged
	}
	if c.contracts.uncertain(op, status, got.GetBody()) {
		return uncertain
	}
	for _, each := range op.Responses {
		if each.Outcome == "not_found" && each.Status == status {
			return absent
		}
	}
	if status == http.StatusRequestTimeout || status == http.StatusTooManyRequests {
		return uncertain
	}
	return refused
}
