package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// transfer is a large request and its response.
type transfer struct {
	status     int
	body       string        // beginning of the body if status is not 200
	firstByte  time.Duration // until the first byte of the body
	duration   time.Duration // until the last
	bytes      int64         // length of the body
	peakMemory int64         // of the server, less its idle memory, in bytes
}

// upload sends a file with POST. The kernel copies it to the socket, so that the client needs little memory and CPU.
func upload(ctx context.Context, p *process, path, file string) (transfer, error) {
	body, err := os.Open(file)
	if err != nil {
		return transfer{}, err
	}
	defer body.Close()
	info, err := body.Stat()
	if err != nil {
		return transfer{}, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: bench\r\nAdmin-Auth: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, adminSecret, info.Size())
	return p.exchange(ctx, head, body)
}

// download sends GET with the credentials of an administrator and of a gateway.
func download(ctx context.Context, p *process, path string) (transfer, error) {
	head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: bench\r\nAdmin-Auth: %s\r\nAuthorization: %s\r\n\r\n",
		path, adminSecret, nodeSecret)
	return p.exchange(ctx, head, nil)
}

// exchange sends a request on a new connection, and reads the response without keeping it.
func (p *process) exchange(ctx context.Context, head string, body *os.File) (transfer, error) {
	const buffer = 256 << 10
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return transfer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := resetPeak(p.handle.Pid); err != nil {
		return transfer{}, err
	}
	started := time.Now()
	_, sendErr := io.WriteString(conn, head)
	if body != nil && sendErr == nil {
		_, sendErr = conn.(*net.TCPConn).ReadFrom(body)
	}
	reader := bufio.NewReaderSize(conn, buffer)
	response, err := http.ReadResponse(reader, nil) // even if sendErr: a server may reject a request before its end
	if err != nil {
		return transfer{}, fmt.Errorf("%s: %w", p.name, errors.Join(sendErr, err))
	}
	t, err := readResponse(response, started)
	t.peakMemory = max(0, peakMemory(p.handle.Pid)-p.idle) // may be less than just after the start
	return t, err
}

// readResponse reads a response to a request that was sent at started.
func readResponse(response *http.Response, started time.Time) (transfer, error) {
	const excerpt = 200
	defer response.Body.Close()
	t := transfer{status: response.StatusCode}
	start := make([]byte, excerpt)
	n, err := io.ReadAtLeast(response.Body, start, 1)
	t.firstByte = time.Since(started)
	if err != nil {
		return t, err
	}
	if t.status != http.StatusOK {
		t.body = string(start[:n])
	}
	rest, err := io.Copy(io.Discard, response.Body)
	t.bytes, t.duration = int64(n)+rest, time.Since(started)
	return t, err
}
