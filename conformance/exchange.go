package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxBody bounds what is read of a response.
const maxBody = 64 << 20

// exchangeResponse is a response with its whole body.
type exchangeResponse struct {
	status int
	header http.Header
	body   []byte
	json   any // nil if the body is not JSON
}

// exchange sends a request and reads the response.
func exchange(ctx context.Context, client *http.Client, request *request) (*exchangeResponse, error) {
	if client.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, client.Timeout)
		defer cancel()
	}
	req, release, err := request.http(ctx, request.base)
	if err != nil {
		return nil, err
	}
	defer release()
	// The transport waits for a body that it reads, also after the request was canceled.
	defer context.AfterFunc(ctx, release)()
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	got := &exchangeResponse{status: resp.StatusCode, header: resp.Header, body: body}
	if json.Unmarshal(body, &got.json) != nil {
		got.json = nil
	}
	return got, nil
}
