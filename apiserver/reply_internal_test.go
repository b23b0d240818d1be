package apiserver

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"gatehouse/contract"
)

// requestOn returns a request of an operation, as the middleware passes it to a handler of s.
//
//nolint:ireturn // it is what Echo has
func requestOn(s *Server, op *contract.Operation) (echo.Context, *httptest.ResponseRecorder) {
	rec := httptest.NewRecorder()
	c := echo.New().NewContext(httptest.NewRequest(op.Method, "/", nil), rec)
	r := &Request{Echo: c, Operation: op, server: s}
	r.outer = r
	c.Set(requestKey, r)
	return c, rec
}

// TestSend covers replies that no contract has yet, and those of a handler that is wrong.
func TestSend(t *testing.T) {
	t.Parallel()
	conflict := contract.Response{Status: http.StatusConflict, Form: contract.Empty}
	failed := contract.Response{Status: http.StatusInternalServerError, Form: contract.Envelope, Message: "Failed"}
	op := &contract.Operation{ID: "make", Method: http.MethodPost, Responses: map[contract.Outcome]contract.Response{
		"conflict": conflict, OutcomeFailed: failed, OutcomeMalformed: conflict,
	}}
	var log strings.Builder
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}

	c, rec := requestOn(s, op)
	require.NoError(t, s.Send(c, contract.Reply{Outcome: "conflict", Response: conflict}))
	require.Equal(t, http.StatusConflict, rec.Code)
	require.Empty(t, rec.Body.String())
	require.Empty(t, rec.Header().Get("Content-Type"))

	c, rec = requestOn(s, op)
	s.handleError(MalformedAt("/a", "is wrong", nil), c)
	require.Equal(t, http.StatusConflict, rec.Code, "an outcome of the middleware may have no content, too")
	require.Empty(t, rec.Body.String())
	require.Empty(t, log.String())

	for name, wrong := range map[string]struct {
		reply contract.Reply
		err   error
	}{
		"no reply":            {contract.Reply{}, errNoReply},
		"nothing was sent":    {contract.Reply{Outcome: "conflict", Response: conflict, Streamed: true}, errNotSent},
		"an unexpected error": {contract.Reply{Outcome: OutcomeFailed, Response: failed, Cause: errors.ErrUnsupported}, nil},
	} {
		log.Reset()
		c, rec = requestOn(s, op)
		c.Response().Header().Set("X-Request-Id", "the-request")
		err := s.Send(c, wrong.reply)
		require.ErrorIs(t, err, wrong.err, name)
		if err != nil {
			s.handleError(err, c)
		}
		require.Equal(t, http.StatusInternalServerError, rec.Code, name)
		require.JSONEq(t, `{"Status":"Error","Message":"Failed","Meta":null}`, rec.Body.String(), name)
		require.Contains(t, log.String(), `msg="request failed" operation=make`, name)
		require.Contains(t, log.String(), `request=the-request err=`, name)
	}

	log.Reset()
	c, _ = requestOn(s, op)
	require.NoError(t, writeJSON(c, http.StatusTeapot, "by itself"))
	streamed := contract.Reply{Outcome: "conflict", Response: conflict, Streamed: true}
	require.ErrorIs(t, s.Send(c, streamed), errSentElse)
	s.handleError(errSentElse, c)
	require.Contains(t, log.String(), `msg="response broken off" operation=make`)
}

// TestUndocumentedFailure: an operation that documents no failure has the reply of any server to one.
func TestUndocumentedFailure(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	c, rec := requestOn(s, &contract.Operation{ID: "make", Method: http.MethodPost})
	s.handleError(errors.New("broken"), c)
	require.Equal(t, http.StatusInternalServerError, rec.Code)
	require.JSONEq(t, `{"Status":"Error","Message":"Internal Server Error","Meta":null}`, rec.Body.String())
	require.Contains(t, log.String(), `msg="request failed" operation=make`)
}

// TestObjectFailure: the reply of the middleware where an operation declares an object of its own is what the
// application makes of it, and an envelope without that.
func TestObjectFailure(t *testing.T) {
	t.Parallel()
	s := &Server{log: slog.New(slog.DiscardHandler)}
	c, rec := requestOn(s, &contract.Operation{
		ID: "make", Method: http.MethodPost,
		Responses: map[contract.Outcome]contract.Response{OutcomeUnauthorised: {Status: http.StatusUnauthorized}},
	})
	s.handleError(ErrUnauthorised, c)
	require.Equal(t, http.StatusUnauthorized, rec.Code)
	require.JSONEq(t, `{"Status":"Error","Message":"Unauthorized","Meta":null}`, rec.Body.String())

	s.hooks.errorBody = func(reply contract.Reply, problems []contract.Problem) any {
		return map[string]any{"error": reply.Outcome, "fields": problems}
	}
	op := &contract.Operation{
		ID: "make", Method: http.MethodPost,
		Responses: map[contract.Outcome]contract.Response{OutcomeMalformed: {Status: http.StatusBadRequest}},
	}
	c, rec = requestOn(s, op)
	s.handleError(MalformedAt("/name", "is taken", nil), c)
	require.Equal(t, http.StatusBadRequest, rec.Code)
	require.JSONEq(t, `{"error":"malformed","fields":[{"path":"/name","reason":"is taken"}]}`, rec.Body.String())
}

// TestRulesNameAllOutcomes: an outcome that is produced before a handler runs is one that Rules asks operations for. A
// failure is the exception, which every operation may document, and so are the outcomes that only a scheme can have.
func TestRulesNameAllOutcomes(t *testing.T) {
	t.Parallel()
	rules := Rules("key")
	named := map[contract.Outcome]bool{OutcomeTooManyAttempts: true}
	for _, all := range [][]contract.Outcome{
		rules.Schemes["key"], rules.Authorised, rules.Body, rules.RequiredBody, rules.Parameters, rules.RequiredParameters,
	} {
		for _, outcome := range all {
			named[outcome] = true
		}
	}
	for _, known := range outcomes {
		require.True(t, named[known.outcome], known.outcome)
	}
}
