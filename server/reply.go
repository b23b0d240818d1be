package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	fastjson "github.com/segmentio/encoding/json"

	"gatehouse/gen/admin"
)

// replyOK replies with the message that the contract documents for success.
func replyOK(c echo.Context, meta any) error {
	response := operationOf(c).Responses[outcomeOK]
	return writeJSON(c, response.Status, envelope(admin.ApiErrorStatusOK, response.Message, meta))
}

// replyMessage replies that the operation succeeded, with a message that is not the contract's.
func replyMessage(c echo.Context, message string, meta any) error {
	return writeJSON(c, http.StatusOK, envelope(admin.ApiErrorStatusOK, message, meta))
}

// replyObject replies with an object that is not wrapped in an envelope.
func replyObject(c echo.Context, object any) error { return writeJSON(c, http.StatusOK, object) }

// envelope returns the reply of every operation that does not reply with an object: Status, Message and Meta in this
// order.
func envelope(status admin.ApiErrorStatus, message string, meta any) admin.ApiError {
	return admin.ApiError{Status: status, Message: message, Meta: meta}
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
