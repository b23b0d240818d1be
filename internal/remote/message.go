package remote

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"gatehouse/client"
)

// maxErrorReply is how much of a response with an error is read, in bytes: thousands of problems fit.
const maxErrorReply = 1 << 20

// MessageOf returns the message of a response that is no success, with its details about parts of the request. It is
// printable, and "" if the body is not that of a server of the Admin API. MessageOf does not close the body.
func MessageOf(response *http.Response) (string, error) {
	content, err := io.ReadAll(io.LimitReader(response.Body, maxErrorReply))
	if err != nil {
		return "", err
	}
	var reply struct {
		Message string
		Meta    json.RawMessage
	}
	if err := json.Unmarshal(content, &reply); err != nil {
		return "", nil //nolint:nilerr // no server of this API has sent it
	}
	parts := []string{reply.Message}
	var details client.ErrorDetails
	if json.Unmarshal(reply.Meta, &details) == nil {
		for _, each := range details.Errors {
			parts = append(parts, each.Path+": "+each.Reason)
		}
	}
	return Printable(strings.Join(parts, "; ")), nil
}

// Printable removes the control characters of a text that a server sent, which a terminal could execute.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
