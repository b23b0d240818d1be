package main

import (
	"context"
	"io"
	"regexp"
	"strings"

	"gatehouse/client"
)

// api is the generated client.
type api = client.ClientWithResponses

// response is a response of any operation.
type response interface {
	StatusCode() int
	GetBody() []byte
}

// target holds the values of a request: the organisation and the ID of the object, and the marker to store.
type target struct {
	org    string
	id     string
	marker string
}

// markers matches the markers that the bodies of this program have.
var markers = regexp.MustCompile(`mark-\d+-\d+-\d+`)

// fill returns a body: the template with the organisation for %o, the ID for %i and the marker for %m.
func (t target) fill(template string) io.Reader {
	return strings.NewReader(strings.NewReplacer("%o", t.org, "%i", t.id, "%m", t.marker).Replace(template))
}

// call sends one request with the generated client.
type call func(ctx context.Context, c *api, t target) (response, error)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

type editors = client.RequestEditorFn

// withQuery is an operation with parameters of the query that are not used.
func withQuery[Q any, R response](send func(*api, context.Context, *Q, ...editors) (R, error)) call {
	return func(ctx context.Context, c *api, _ target) (response, error) { return result(send(c, ctx, new(Q))) }
}

// withBody is an operation with a body.
func withBody[R response](
	send func(*api, context.Context, string, io.Reader, ...editors) (R, error), template string,
) call {
	return func(ctx context.Context, c *api, t target) (response, error) {
		return result(send(c, ctx, jsonType, t.fill(template)))
	}
}

// withQueryAndBody is an operation with a body, and parameters of the query that are not used.
func withQueryAndBody[Q any, R response](
	send func(*api, context.Context, *Q, string, io.Reader, ...editors) (R, error), template string,
) call {
	return func(ctx context.Context, c *api, t target) (response, error) {
		return result(send(c, ctx, new(Q), jsonType, t.fill(template)))
	}
}

// withID is an operation on an object.
func withID[R response](send func(*api, context.Context, string, ...editors) (R, error)) call {
	return func(ctx context.Context, c *api, t target) (response, error) { return result(send(c, ctx, t.id)) }
}

// withIDAndQuery is an operation on an object, and parameters of the query that are not used.
func withIDAndQuery[Q any, R response](send func(*api, context.Context, string, *Q, ...editors) (R, error)) call {
	return func(ctx context.Context, c *api, t target) (response, error) {
		return result(send(c, ctx, t.id, new(Q)))
	}
}

// withIDAndBody is an operation on an object with a body.
func withIDAndBody[R response](
	send func(*api, context.Context, string, string, io.Reader, ...editors) (R, error), template string,
) call {
	return func(ctx context.Context, c *api, t target) (response, error) {
		return result(send(c, ctx, t.id, jsonType, t.fill(template)))
	}
}

// withIDParamsAndBody is an operation on an object with parameters, of which it sends none, and a body.
func withIDParamsAndBody[Q any, R response](
	send func(*api, context.Context, string, *Q, string, io.Reader, ...editors) (R, error), template string,
) call {
	return func(ctx context.Context, c *api, t target) (response, error) {
		return result(send(c, ctx, t.id, new(Q), jsonType, t.fill(template)))
	}
}

// onOrg is an operation on the organisation of the target.
func onOrg(do call) call {
	return func(ctx context.Context, c *api, t target) (response, error) {
		t.id = t.org
		return do(ctx, c, t)
	}
}

// result returns no response instead of a nil pointer to one.
func result[R response](r R, err error) (response, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}
