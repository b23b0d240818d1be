package contract

import (
	"net/http"

	"gatehouse/internal/jsonschema"
)

// ResponseStream checks a response while its body is sent, in the memory of one value of the body. It must be closed.
type ResponseStream struct {
	response *declaredResponse
	header   http.Header
	limit    int64
	checked  int64
	body     *jsonschema.Stream // nil unless the body has to be checked
	problems []Problem
}

// StreamResponse begins to check a response. Its body is checked as far as limit, in bytes; 0 is no limit. Of a body
// that is not JSON, only the media type is checked.
func (op *Operation) StreamResponse(status int, header http.Header, limit int64) *ResponseStream {
	s := &ResponseStream{header: header, limit: limit}
	if status == http.StatusNotModified {
		return s
	}
	if s.response = op.declares(status); s.response == nil {
		s.problems = []Problem{undeclaredStatus(status)}
		return s
	}
	s.problems = s.response.checkHeaders(op, status, header)
	checked, problem := s.response.content(header)
	switch {
	case problem != nil && len(s.response.declared.Content) > 0:
		s.problems = append(s.problems, *problem)
	case checked != nil && s.problems == nil:
		s.body = checked.compiled.Stream()
	}
	return s
}

// Write checks the next piece of the body. It returns the problems that were found so far.
func (s *ResponseStream) Write(piece []byte) []Problem {
	if s.problems != nil || len(piece) == 0 {
		return s.problems
	}
	if s.response != nil && len(s.response.declared.Content) == 0 {
		_, problem := s.response.content(s.header)
		s.problems = []Problem{*problem}
	}
	if s.body == nil || s.limit > 0 && s.checked >= s.limit {
		return s.problems
	}
	if s.limit > 0 {
		piece = piece[:min(int64(len(piece)), s.limit-s.checked)]
	}
	s.checked += int64(len(piece))
	s.report(s.body.Write(piece))
	return s.problems
}

// End is called after the last piece. It returns all problems, and how many bytes of the body were checked.
func (s *ResponseStream) End() (problems []Problem, checked int64) {
	if s.problems == nil && s.body != nil && (s.limit == 0 || s.checked < s.limit) {
		s.report(s.body.End())
	}
	return s.problems, s.checked
}

// Close releases the stream. Its other methods must not be called any more.
func (s *ResponseStream) Close() {
	if s.body != nil {
		s.body.Close()
	}
}

func (s *ResponseStream) report(problem *jsonschema.Problem, err error) {
	switch {
	case problem != nil:
		s.problems = []Problem{{Path: problem.Pointer, Reason: problem.Reason}}
	case err != nil:
		s.problems = []Problem{{Reason: reasonNotJSON}}
	}
}
