package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/internal/authlimit"
	"gatehouse/store"
)

// replier is a reply as it is generated for one operation, such as admin.GetOrgReply.
type replier interface{ Reply() contract.Reply }

// The Status of an envelope.
const (
	statusOK    = string(admin.ApiOkStatusOK)
	statusError = string(admin.ApiErrorStatusError)
)

// envelope is the body of every response that is not an object of its own. The contract has a schema for each kind of
// Meta (ApiOk, IDResponse, UserResponse, …). Clients rely on the order of the members.
type envelope struct {
	Status  string
	Message string
	Meta    any
	ID      string `json:"ID,omitempty"`
}

// Faults of the code.
var (
	errNoReply  = errors.New("the handler returned no reply")
	errNotSent  = errors.New("the handler returned a streamed reply, but has sent nothing")
	errSentElse = errors.New("the handler has sent another response than it returned")
)

// send sends the reply of a handler, and writes it to the audit log. It logs the cause of a failure.
func (s *Server) send(c echo.Context, reply contract.Reply) error {
	reply = refusalOf(c, reply)
	s.audit(c, reply)
	if reply.Outcome == outcomeFailed {
		s.logFailure(c, reply.Cause)
	}
	if conflict, ok := errors.AsType[*store.ConflictError](reply.Cause); ok {
		s.logConflict(c, conflict)
	}
	if refusal, ok := errors.AsType[*authlimit.TooManyError](reply.Cause); ok {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(refusal.RetryAfterSeconds()))
	}
	response, sent := reply.Response, c.Response().Committed
	switch {
	case response.Status == 0:
		return errNoReply
	case reply.Streamed && !sent:
		return errNotSent
	case reply.Streamed && c.Response().Status == response.Status:
		return nil
	case sent:
		return errSentElse
	case response.Form == contract.Empty:
		return c.NoContent(response.Status)
	case response.Form == contract.Object:
		return writeJSON(c, response.Status, reply.Body)
	}
	return writeJSON(c, response.Status, envelopeOf(c, reply))
}

// refusalOf returns the reply of the middleware in place of that of a handler whose request was not admitted again.
func refusalOf(c echo.Context, reply contract.Reply) contract.Reply {
	lapsed, ok := errors.AsType[*lapsedError](reply.Cause)
	if !ok || reply.Outcome != outcomeFailed {
		return reply
	}
	outcome := outcomeOf(lapsed)
	response, ok := requestOf(c).operation.Responses[outcome]
	if !ok {
		return reply
	}
	return contract.Reply{Outcome: outcome, Response: response, Cause: lapsed.cause}
}

// envelopeOf returns the envelope of a reply. The Meta of an error lists what is wrong with the request, if that is
// known.
func envelopeOf(c echo.Context, reply contract.Reply) envelope {
	e := envelope{Status: statusOK, Message: reply.Message(), Meta: reply.Body, ID: reply.ID}
	if reply.Response.Success != "" {
		e.Status = reply.Response.Success
	}
	if reply.Response.Status < http.StatusBadRequest {
		return e
	}
	e.Status = statusError
	problems := problemsOf(reply.Cause)
	if reply.Outcome == outcomeMalformed && problems == nil {
		problems = nulProblems(requestOf(c).body.json)
	}
	if len(problems) > 0 {
		details := admin.ErrorDetails{}
		for _, problem := range problems {
			details.Errors = append(details.Errors, admin.Problem(problem))
		}
		e.Meta = details
	}
	return e
}

// writeJSON writes compact JSON without a newline at its end, and flushes it: the client need not wait until the
// request is counted and logged.
func writeJSON(c echo.Context, status int, v any) error {
	text, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if text, err = appendJSON(make([]byte, 0, smallResponse), v); err != nil {
			return err
		}
	}
	c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(text)))
	if err := c.Blob(status, echo.MIMEApplicationJSON, text); err != nil {
		return err
	}
	_ = http.NewResponseController(c.Response()).Flush() // not every ResponseWriter supports it
	return nil
}

// sendAs sends the body of a reply whose handler sends it itself, because it is not JSON.
func (s *Server) sendAs(r *request, reply replier, mediaType string, body []byte) {
	response := r.echo.Response()
	response.Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	if err := r.echo.Blob(reply.Reply().Response.Status, mediaType, body); err != nil {
		s.log.Info("response not delivered", "route", r.echo.Path(), "err", err)
	}
}

// sendHeadAs sends the headers of a response that takes too much to make for a request that has no body of it.
func (s *Server) sendHeadAs(r *request, reply replier, mediaType string) {
	r.echo.Response().Header().Set(echo.HeaderContentType, mediaType)
	r.echo.Response().WriteHeader(reply.Reply().Response.Status)
}

// smallResponse is a size in bytes that fits most responses: a user takes some 500.
const smallResponse = 512

// appendJSON appends v to buf. It leaves `<`, `>` and `&` as they are, which json.Marshal and Echo would escape, also
// in a user's document.
func appendJSON(buf []byte, v any) ([]byte, error) {
	text, err := fastjson.Append(buf, v, fastjson.SortMapKeys)
	if err != nil {
		return nil, fmt.Errorf("encode the response: %w", err)
	}
	return text, nil
}
