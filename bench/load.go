package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// The client of small requests shares the machine with the servers, so it uses as little CPU as possible: it writes
// prepared bytes, and reads only the status and the length of a response.

// request appends the complete request for the n-th user or organisation to buf.
type request func(buf []byte, n int) []byte

// load is the requests that a server is measured with.
type load struct {
	request request
	// draw returns the n of the next request. Connections call it concurrently.
	draw func(*rand.Rand) int
}

// sample is the result of one window.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // CPU time of the server per request
}

// warmUpPart is the window divided by the duration of the warm-up, in which servers connect to the database and prepare
// statements.
const warmUpPart = 5

// apply sends requests to a server on several connections, for a window.
func (l load) apply(ctx context.Context, p *process, connections int, window time.Duration) (sample, error) {
	clients := make([]*client, connections)
	for i := range clients {
		c, err := dial(ctx, p.address, uint64(i))
		if err != nil {
			return sample{}, err
		}
		defer c.close()
		clients[i] = c
	}
	if _, err := runClients(clients, l, window/warmUpPart); err != nil {
		return sample{}, fmt.Errorf("%s: %w", p.name, err)
	}
	cpu, started := cpuTime(p.handle.Pid), time.Now()
	durations, err := runClients(clients, l, window)
	elapsed := time.Since(started)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", p.name, err)
	}
	slices.Sort(durations)
	n := len(durations)
	return sample{
		perSecond: float64(n) / elapsed.Seconds(), p50: durations[n/2], p99: durations[n*99/100],
		cpu: (cpuTime(p.handle.Pid) - cpu) / time.Duration(n),
	}, nil
}

// runClients sends requests from all clients until the window ends, and returns the duration of each request.
func runClients(clients []*client, l load, window time.Duration) ([]time.Duration, error) {
	var all sync.WaitGroup
	errs := make([]error, len(clients))
	end := time.Now().Add(window)
	for i, c := range clients {
		all.Go(func() { errs[i] = c.sendUntil(end, l) })
	}
	all.Wait()
	var durations []time.Duration
	for _, c := range clients {
		durations = append(durations, c.durations...)
	}
	return durations, errors.Join(errs...)
}

// client is a persistent connection to a server.
type client struct {
	conn      net.Conn
	close     func()
	response  *bufio.Reader
	random    *rand.Rand
	buf       []byte
	durations []time.Duration
}

func dial(ctx context.Context, address string, seed uint64) (*client, error) {
	const bufferSize = 64 << 10 // for few reads of a list; at least the longest line of a header
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return &client{
		conn: conn, close: func() { stop(); conn.Close() }, response: bufio.NewReaderSize(conn, bufferSize),
		random: rand.New(rand.NewPCG(seed, seed)),
	}, nil
}

// sendUntil sends one request after another until end, but at least one.
func (c *client) sendUntil(end time.Time, l load) error {
	c.durations = c.durations[:0]
	for started := time.Now(); ; {
		c.buf = l.request(c.buf[:0], l.draw(c.random))
		if err := c.roundTrip(); err != nil {
			return fmt.Errorf("%s: %w", bytes.SplitN(c.buf, []byte("\r\n"), 2)[0], err)
		}
		now := time.Now()
		c.durations = append(c.durations, now.Sub(started))
		if now.After(end) {
			return nil
		}
		started = now
	}
}

// roundTrip sends the request in buf and reads its response. It returns an error if the status is not 200.
func (c *client) roundTrip() error {
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	status, length, err := c.head()
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		text := make([]byte, max(0, length))
		_, _ = io.ReadFull(c.response, text) // only for the error message
		return fmt.Errorf("status %d: %s", status, text)
	case length == chunked:
		return c.skipChunks()
	}
	_, err = c.response.Discard(length)
	return err
}

// chunked is the length of a response with chunked encoding.
const chunked = -1

// head reads the status line and the headers. It returns the length of the body, or chunked.
func (c *client) head() (status, length int, err error) {
	line, err := c.line()
	if err != nil {
		return 0, 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, 0, fmt.Errorf("not an HTTP response: %q", line)
	}
	status, err = strconv.Atoi(string(line[9:12]))
	for err == nil {
		if line, err = c.line(); err != nil || len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			length = chunked
		}
	}
	return status, length, err
}

// skipChunks reads a body with chunked encoding.
func (c *client) skipChunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return err
		}
		if _, err := c.response.Discard(int(size) + len("\r\n")); err != nil || size == 0 {
			return err
		}
	}
}

// line returns the next line without its end. The line is valid until the next read.
func (c *client) line() ([]byte, error) {
	line, err := c.response.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
