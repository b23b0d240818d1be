// Package remote reads and writes the objects of a server of the Admin API, gatehouse or another, with its public
// operations: organisations, users, APIs, policies and organisation keys. Documents are read as the server sends them,
// without insignificant whitespace, and sent as the caller passes them.
//
// The admin API of Tyk Dashboard has no lists of users, APIs and policies. If access keys are configured, the lists are
// read from the Dashboard API; otherwise the error is ErrLacking.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"gatehouse/client"
)

// Kind is a kind of objects. Its text is the noun for one of them in messages.
type Kind string

// The kinds, in the order in which they must be created: an object refers to those of earlier kinds.
const (
	Organisation Kind = "organisation"
	User         Kind = "user"
	API          Kind = "API"
	Policy       Kind = "policy"
	Key          Kind = "organisation key"
)

// Kinds returns all kinds in the order in which they must be created.
func Kinds() []Kind { return []Kind{Organisation, User, API, Policy, Key} }

// Plural returns the noun for several objects.
func (k Kind) Plural() string {
	if k == Policy {
		return "policies"
	}
	return string(k) + "s"
}

var (
	// ErrLacking is returned if the server does not have an operation, or does not permit it.
	ErrLacking = errors.New("the server does not list them")
	// ErrNotFound is returned if the server does not have an object.
	ErrNotFound = errors.New("not found")
)

// Config configures a Server.
type Config struct {
	// Client calls the server with its admin secret.
	Client *client.ClientWithResponses
	// AccessKeys are access keys of users. The lists that the admin API lacks are read from the Dashboard API with them.
	AccessKeys []string
	// SpoolDir is the directory of lists of more than 1 MiB while they are used; "" is that of temporary files.
	SpoolDir string
	// Wait is called before a request is repeated that the server has refused with 429. nil sleeps.
	Wait func(ctx context.Context, pause time.Duration) error
}

// Server is a server of the Admin API. It is not safe for concurrent use, and must be closed.
type Server struct {
	cfg        Config
	lacking    map[Kind]error // an ErrLacking for each list that the admin API lacks
	dashboards []*dashboard   // one for each access key; nil until they are needed
	failures   int            // consecutive requests for one document that ended with a status of 500 or more
}

// New returns a server.
func New(cfg Config) *Server {
	if cfg.Wait == nil {
		cfg.Wait = sleep
	}
	return &Server{cfg: cfg, lacking: map[Kind]error{}}
}

// Close releases the lists that the server holds.
func (s *Server) Close() error {
	var errs []error
	for _, d := range s.dashboards {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}

// sleep waits for some time, or until ctx ends.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Error is returned for an error response, or one that has another form than expected.
type Error struct {
	Operation string // METHOD /path
	Status    int
	// Message is the message of the response (see MessageOf).
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Operation, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Is implements errors.Is for ErrNotFound.
func (e *Error) Is(target error) bool {
	return target == ErrNotFound && e.Status == http.StatusNotFound
}

// isLacking reports whether err means that the server does not have an operation, or does not permit it.
func isLacking(err error) bool {
	failed, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch failed.Status {
	case http.StatusOK: // the body is a page instead of JSON
		return true
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// IsFatal reports whether an error is about the server, and not about a single object: the next request would fail,
// too.
func IsFatal(err error) bool {
	failed, ok := errors.AsType[*Error](err)
	return !ok || failed.Status == http.StatusUnauthorized || failed.Status == http.StatusTooManyRequests
}

const (
	// maxReply is the number of bytes of a response about one object that are read. It is larger than any document that
	// a server accepts by default.
	maxReply = 64 << 20
	// tries is the maximum number of attempts at a request that the server refuses with 429.
	tries = 5
	// defaultPause is the time before the next attempt if a response with 429 has no valid header Retry-After.
	defaultPause = 5 * time.Second
	// maxPause is the maximum time before the next attempt.
	maxPause = time.Minute
)

// call is a request of package client.
type call struct {
	operation string // METHOD /path, for messages
	send      func() (*http.Response, error)
}

// do sends a request, repeats it if the server responds with 429, and returns the response if its status is 200. Its
// body must be closed. The error is an *Error, or one of the connection.
func (s *Server) do(ctx context.Context, c call) (*http.Response, error) {
	for try := 1; ; try++ {
		response, err := c.send()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.operation, err)
		}
		if response.StatusCode == http.StatusOK {
			return response, nil
		}
		failed := errorOf(c.operation, response)
		if response.StatusCode != http.StatusTooManyRequests || try == tries {
			return nil, failed
		}
		if err := s.cfg.Wait(ctx, pauseOf(response)); err != nil {
			return nil, err
		}
	}
}

// pauseOf returns the time before the next attempt after a response with 429.
func pauseOf(response *http.Response) time.Duration {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return defaultPause
	}
	return min(time.Duration(seconds)*time.Second, maxPause)
}

// body sends a request and returns the body of the response.
func (s *Server) body(ctx context.Context, c call) (json.RawMessage, error) {
	response, err := s.do(ctx, c)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return nil, fmt.Errorf("%s: read the response: %w", c.operation, err)
	}
	if !json.Valid(raw) {
		return nil, &Error{c.operation, response.StatusCode, "the response is not JSON"}
	}
	return compact(raw)
}

// errorOf returns the error of an error response, and closes its body.
func errorOf(operation string, response *http.Response) error {
	defer response.Body.Close()
	message, err := MessageOf(response)
	return errors.Join(&Error{operation, response.StatusCode, message}, err)
}
