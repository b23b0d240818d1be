package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/contract"
)

// Replier is a reply as it is generated for one operation, such as GetNoteReply.
type Replier interface{ Reply() contract.Reply }

// The Status of an envelope.
const (
	StatusOK    = "OK"
	StatusError = "Error"
)

// envelope is the body of every response that is not an object of its own. Clients may rely on the order of the
// members.
type envelope struct {
	Status  string
	Message string
	Meta    any
	ID      string `json:"ID,omitempty"`
}

// errorDetails is the Meta of an error whose request has something wrong.
type errorDetails struct {
	Errors []contract.Problem `json:"errors"`
}

// Faults of the code.
var (
	errNoReply  = errors.New("the handler returned no reply")
	errNotSent  = errors.New("the handler returned a streamed reply, but has sent nothing")
	errSentElse = errors.New("the handler has sent another response than it returned")
)

// Send sends the reply of a handler. It logs the cause of a failure. It is the function that the generated Serve needs.
func (s *Server) Send(c echo.Context, reply contract.Reply) error {
	r := baseOf(c)
	reply = refusalOf(r, reply)
	if s.hooks.reply != nil && r != nil {
		s.hooks.reply(r, reply)
	}
	if reply.Outcome == OutcomeFailed {
		s.logFailure(c, reply.Cause)
	}
	if refusal, ok := errors.AsType[retryLater](reply.Cause); ok {
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
	return writeJSON(c, response.Status, s.envelopeOf(r, reply))
}

// refusalOf returns the reply to a request that is not admitted in place of that of a handler whose request was not
// admitted again.
func refusalOf(r *Request, reply contract.Reply) contract.Reply {
	lapsed, ok := errors.AsType[*lapsedError](reply.Cause)
	if !ok || reply.Outcome != OutcomeFailed {
		return reply
	}
	outcome := r.server.outcomeOf(lapsed)
	response, ok := r.Operation.Responses[outcome]
	if !ok {
		return reply
	}
	return contract.Reply{Outcome: outcome, Response: response, Cause: lapsed.cause}
}

// envelopeOf returns the envelope of a reply. The Meta of an error lists what is wrong with the request, if that is
// known.
func (s *Server) envelopeOf(r *Request, reply contract.Reply) envelope {
	e := envelope{Status: StatusOK, Message: reply.Message(), Meta: reply.Body, ID: reply.ID}
	if reply.Response.Success != "" {
		e.Status = reply.Response.Success
	}
	if reply.Response.Status < http.StatusBadRequest {
		return e
	}
	e.Status = StatusError
	if problems := s.problemsOf(r, reply); len(problems) > 0 {
		e.Meta = errorDetails{problems}
	}
	return e
}

// problemsOf returns what is wrong with a request, nil if that is not known.
func (s *Server) problemsOf(r *Request, reply contract.Reply) []contract.Problem {
	problems := problemsOf(reply.Cause)
	if problems == nil && s.hooks.problems != nil && r != nil {
		problems = s.hooks.problems(r, reply)
	}
	return problems
}

// writeJSON writes compact JSON without a newline at its end, and flushes it: the client need not wait until the
// request is counted and logged.
func writeJSON(c echo.Context, status int, v any) error {
	text, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if text, err = AppendJSON(make([]byte, 0, smallResponse), v); err != nil {
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

// SendAs sends the body of a streamed reply that is not JSON. An error is logged: the client is gone.
func (r *Request) SendAs(reply Replier, mediaType string, body []byte) {
	response := r.Echo.Response()
	response.Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	if err := r.Echo.Blob(reply.Reply().Response.Status, mediaType, body); err != nil {
		r.server.log.Info("response not delivered", "route", r.Echo.Path(), "err", err)
	}
}

// SendHeadAs sends the headers of a streamed reply that takes too much to make for a HEAD request, which has no body.
func (r *Request) SendHeadAs(reply Replier, mediaType string) {
	r.Echo.Response().Header().Set(echo.HeaderContentType, mediaType)
	r.Echo.Response().WriteHeader(reply.Reply().Response.Status)
}

// smallResponse is a size in bytes that fits most responses.
const smallResponse = 512

// AppendJSON appends v to buf. It leaves `<`, `>` and `&` as they are, which json.Marshal and Echo would escape, also
// in a user's document.
func AppendJSON(buf []byte, v any) ([]byte, error) {
	text, err := fastjson.Append(buf, v, fastjson.SortMapKeys)
	if err != nil {
		return nil, fmt.Errorf("encode the response: %w", err)
	}
	return text, nil
}
