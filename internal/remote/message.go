package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"gatehouse/client"
)

// maxErrorReply is how much of a response with an error is read, in bytes: thousands of problems fit.
const maxErrorReply = 1 << 20

// MessageOf returns the message of a response that is no success, with what it says about parts of the request. It is
// printable, and "" if no server of the Admin API has sent the response. MessageOf reads the body and does not close it.
func MessageOf(response *http.Response) (string, error) {
	content, err := io.ReadAll(io.LimitReader(response.Body, maxErrorReply))
	if err != nil {
		return "", err
	}
	var reply struct {
		Message string
		Meta    json.RawMessage
	}
	if json.Unmarshal(content, &reply) != nil {
		return "", nil
	}
	message := reply.Message
	var details client.ErrorDetails
	if json.Unmarshal(reply.Meta, &details) == nil {
		for _, each := range details.Errors {
			message += fmt.Sprintf("; %s: %s", each.Path, each.Reason)
		}
	}
	return Printable(message), nil
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
