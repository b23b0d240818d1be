package apiserver

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/contract"
	"gatehouse/httpbody"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/jsonlist"
)

// Element is an element of a list in a request body (x-each).
type Element[T any] struct {
	// Value is the decoded element. It is the zero value if there are Problems.
	Value T
	// Problems are what is wrong with the element. Their paths are JSON pointers into the body: /notes/3/text.
	Problems []contract.Problem
}

// Elements yields the elements of the list in a request body (x-each), while the client sends them. Each is validated
// by itself, so that one wrong element does not refuse the others. The memory that it takes is that of an element.
// The name of the list may be written in any case, unless the contract requires it as it is.
//
// An error is the last that is yielded; OnBody has the replies to it. The rest of the body is validated at the end:
// until Elements has ended without an error, nothing should be stored. Nothing scarce, such as a connection of a
// database, should be held meanwhile, because clients may send slowly.
func Elements[T any](request AnyRequest) iter.Seq2[Element[T], error] {
	return func(yield func(Element[T], error) bool) {
		var none Element[T]
		u := &upload{r: request.base()}
		if err := u.open(); err != nil {
			yield(none, err)
			return
		}
		defer u.body.Close()
		for n := 0; ; n++ {
			raw, err := u.next()
			if errors.Is(err, io.EOF) {
				if err := u.end(); err != nil {
					yield(none, err)
				}
				return
			}
			if err != nil {
				yield(none, err)
				return
			}
			element := Element[T]{Problems: u.check(raw)}
			if element.Problems == nil {
				element.Value, err = decode[T](raw)
				element.Problems = problemsOf(err)
			}
			for i := range element.Problems {
				element.Problems[i].Path = contract.Pointer(u.list, strconv.Itoa(n)) + element.Problems[i].Path
			}
			if !yield(element, nil) {
				return
			}
		}
	}
}

// upload is a request body with a list of elements.
type upload struct {
	r      *Request
	list   string
	body   io.ReadCloser
	reader *jsonlist.Reader
}

// open opens the body.
func (u *upload) open() (err error) {
	server, rules := u.r.server, u.r.Operation.Body
	limits := httpbody.Limits{
		Bytes: cmp.Or(rules.MaxBytes, server.limits.Upload), Timeout: server.limits.BodyTimeout,
	}
	sent := u.r.Echo.Request()
	if sent.ContentLength > limits.Bytes {
		return httpbody.ErrTooLarge
	}
	u.list = rules.List
	if u.body, err = httpbody.Open(u.r.Echo.Response(), sent, limits); err != nil {
		return err
	}
	u.reader = jsonlist.NewReader(u.body, u.list, server.limits.Element)
	return nil
}

// next returns the next element, compact, and io.EOF after the last one.
func (u *upload) next() (json.RawMessage, error) {
	raw, err := u.reader.Next()
	switch {
	case err == nil:
		return u.normal(raw, "an element is not JSON", ", "+u.reader.Position().String())
	case errors.Is(err, jsonlist.ErrEmpty):
		return nil, httpbody.ErrEmpty
	case errors.Is(err, jsonlist.ErrTooLarge):
		return nil, httpbody.ErrTooLarge
	case errors.Is(err, jsonlist.ErrSyntax):
		return nil, MalformedAt("", err.Error(), err)
	}
	return nil, err // io.EOF, or an error of httpbody
}

// normal returns JSON in its compact form. Its place in the body is for the client.
func (u *upload) normal(raw []byte, what, place string) (json.RawMessage, error) {
	compact, err := jsondoc.Normalise(raw, jsondoc.Limits{Depth: u.r.server.limits.Depth, Values: maxValues})
	if err != nil {
		return nil, MalformedAt("", what+": "+err.Error()+place, err)
	}
	return compact, nil
}

// check validates an element.
func (u *upload) check(element []byte) []contract.Problem {
	return u.r.Operation.Body.CheckElement(element)
}

// end admits the request again, validates the body, without its elements, and gives the response its time: an upload
// may take longer than the server's timeout of a response. A body without the list is malformed: it was meant for
// something else.
func (u *upload) end() error {
	// Ignore the error: not every ResponseWriter supports deadlines.
	control := http.NewResponseController(u.r.Echo.Response())
	_ = control.SetWriteDeadline(time.Now().Add(u.r.server.limits.BodyTimeout))
	if err := u.r.AdmitAgain(); err != nil {
		return err
	}
	rest, err := u.normal(u.reader.Rest(), "the body is not JSON beside the list", "")
	if err != nil {
		return err
	}
	if err := u.r.validate(rest); err != nil {
		return err
	}
	for _, m := range jsondoc.Members(rest) {
		if strings.EqualFold(m.Name, u.list) {
			return nil
		}
	}
	return MalformedAt(contract.Pointer(u.list), "is missing", nil)
}
