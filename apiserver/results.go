package apiserver

import (
	"errors"
	"iter"

	"gatehouse/contract"
)

// ErrTooManyElements is returned by AllElements.
var ErrTooManyElements = errors.New("the list has too many elements")

// AllElements returns the elements of the list in a request body (x-each), for an upload of which all is stored or
// nothing. It returns a *MalformedError with the first problems of the elements, contract.MaxProblems at most, if one
// is not valid, and ErrTooManyElements for a list with more than limit elements; OnBody has the replies to the other
// errors.
func AllElements[T any](request AnyRequest, limit int) (all []T, err error) {
	var problems []contract.Problem
	for element, err := range Elements[T](request) {
		switch {
		case err != nil:
			return nil, err
		case len(all) == limit:
			return nil, ErrTooManyElements
		}
		all, problems = append(all, element.Value), append(problems, element.Problems...)
		problems = problems[:min(len(problems), contract.MaxProblems)]
	}
	if len(problems) > 0 {
		return nil, Malformed(nil, problems...)
	}
	return all, nil
}

// Rows yields the rows that a function has returned, or its error: Rows(store.Notes(ctx)) for List.Rows.
func Rows[T any](rows []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// ReplyResult replies with what a function has returned: the value, or that to its error (ReplyError).
func ReplyResult[V, R any](
	replies interface {
		OK(body V) R
		Failed(cause error) R
	}, value V, err error, expected ...ErrorReply[R],
) R {
	if err != nil {
		return ReplyError(replies, err, expected...)
	}
	return replies.OK(value)
}

// ReplyDone is ReplyResult for an operation whose success has no body.
func ReplyDone[R any](
	replies interface {
		OK() R
		Failed(cause error) R
	}, err error, expected ...ErrorReply[R],
) R {
	if err != nil {
		return ReplyError(replies, err, expected...)
	}
	return replies.OK()
}
