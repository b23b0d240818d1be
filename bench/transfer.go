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

// transfer is one large request and its answer.
type transfer struct {
	status     int
	body       string // of an answer that is not 200: its beginning
	firstByte  time.Duration
	took       time.Duration
	bytes      int64
	peakMemory int64 // of the server, above what it holds idle, in bytes
}

// upload posts a file. The kernel copies it to the socket: the client needs no memory and little CPU.
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
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: bench\r\nAdmin-Auth: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		path, adminSecret, info.Size())
	return p.exchange(ctx, head, body)
}

// download gets a path, as an administrator or a gateway.
func download(ctx context.Context, p *process, path string) (transfer, error) {
	return p.exchange(ctx, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: bench\r\nAdmin-Auth: %s\r\nAuthorization: %s\r\n\r\n", path, adminSecret, nodeSecret), nil)
}

// exchange sends a request on a connection of its own and reads the answer away.
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
	began := time.Now()
	_, sent := io.WriteString(conn, head)
	if body != nil && sent == nil {
		_, sent = conn.(*net.TCPConn).ReadFrom(body)
	}
	reader := bufio.NewReaderSize(conn, buffer)
	answer, err := http.ReadResponse(reader, nil) // also where sending failed: a refusal comes before the body's end
	if err != nil {
		return transfer{}, fmt.Errorf("%s: %w", p.name, errors.Join(sent, err))
	}
	t, err := read(answer, began)
	t.peakMemory = max(0, peakMemory(p.handle.Pid)-p.idle) // a server may hold less than when it had just started
	return t, err
}

func read(answer *http.Response, began time.Time) (transfer, error) {
	const excerpt = 200
	defer answer.Body.Close()
	t := transfer{status: answer.StatusCode}
	start := make([]byte, excerpt)
	n, err := io.ReadAtLeast(answer.Body, start, 1)
	t.firstByte = time.Since(began)
	if err != nil {
		return t, err
	}
	if t.status != http.StatusOK {
		t.body = string(start[:n])
	}
	rest, err := io.Copy(io.Discard, answer.Body)
	t.bytes, t.took = int64(n)+rest, time.Since(began)
	return t, err
}
