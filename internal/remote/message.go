package remote

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"gatehouse/client"
)

// maxErrorReply is the number of bytes of a response with an error that are read, enough for thousands of problems.
const maxErrorReply = 1 << 20

// MessageOf returns the message of an error response, with the problems that it lists. The message is printable, and ""
// if the body is not one of the Admin API. MessageOf reads the body and does not close it.
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
		return "", nil //nolint:nilerr // the body is not one of the Admin API
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

// Printable removes the control characters from a text that a server sent, because a terminal would interpret them.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
