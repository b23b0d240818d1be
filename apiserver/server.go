package apiserver

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// Server serves a contract. It is an http.Handler; its methods are safe for concurrent use.
type Server struct {
	contract  *contract.Contract
	admission admission
	bodies    *bodyReader
	responses *responseChecks // nil if responses are not checked
	limits    Limits
	hooks     hooks
	basePath  string

	log          *slog.Logger
	samples      samples // chooses the requests that have a line
	publicParams []string

	echo    *echo.Echo
	handler http.Handler // echo, and what is around it
}

// hooks are the functions of a Config for any request.
type hooks struct {
	newRequest func() *Request
	outcome    func(error) contract.Outcome
	problems   func(*Request, contract.Reply) []contract.Problem
	errorBody  func(contract.Reply, []contract.Problem) any
	begin      func(echo.Context) error
	admitted   func(context.Context, *Request) context.Context
	reply      func(*Request, contract.Reply)
	breakOff   func(*Request) string
	listed     func(echo.Context) bool
	done       func(echo.Context, time.Duration)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// outcomeOf returns the outcome of an error that ends a request before its handler.
func (s *Server) outcomeOf(err error) contract.Outcome {
	if s.hooks.outcome != nil {
		if outcome := s.hooks.outcome(err); outcome != "" {
			return outcome
		}
	}
	return OutcomeOf(err)
}

// isListed reports whether the log has lines about a request.
func (s *Server) isListed(c echo.Context) bool { return s.hooks.listed == nil || s.hooks.listed(c) }

// CheckBody checks a body of JSON, in pieces, as it would be checked if the operation sent it with the status 200
// (Config.CheckResponses). It returns ErrDeparture for one that departs from the contract. It is for bodies that are
// sent several times: see Request.Unchecked.
func (s *Server) CheckBody(op *contract.Operation, pieces ...[]byte) error {
	return s.responses.checkBody(op, pieces)
}
