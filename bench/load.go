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

// The client of small requests shares the machine with the servers, so it is as cheap as can be: requests are written
// as bytes, and of an answer nothing is looked at but its status and its length.

// request appends a request about the n-th thing, whole, to buf.
type request func(buf []byte, n int) []byte

// load is what is asked of a server.
type load struct {
	request request
	// number draws the thing that a request is about; it is called by many connections at once.
	number func(*rand.Rand) int
}

// sample is what was seen in one window.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of the server, a request
}

// warmUp is the part of a window that is not counted: connections and statements are prepared in it.
const warmUp = 5

// offer puts a load on a server from some connections, for a window.
func offer(ctx context.Context, p *process, connections int, l load, window time.Duration) (sample, error) {
	clients := make([]*client, connections)
	for i := range clients {
		c, err := dial(ctx, p.address, uint64(i))
		if err != nil {
			return sample{}, err
		}
		defer c.close()
		clients[i] = c
	}
	if _, err := together(clients, l, window/warmUp); err != nil {
		return sample{}, fmt.Errorf("%s: %w", p.name, err)
	}
	cpu, began := cpuTime(p.handle.Pid), time.Now()
	took, err := together(clients, l, window)
	elapsed := time.Since(began)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", p.name, err)
	}
	slices.Sort(took)
	n := len(took)
	return sample{
		perSecond: float64(n) / elapsed.Seconds(), p50: took[n/2], p99: took[n*99/100],
		cpu: (cpuTime(p.handle.Pid) - cpu) / time.Duration(n),
	}, nil
}

// together has all clients send requests until the window ends, and returns what each request took.
func together(clients []*client, l load, window time.Duration) ([]time.Duration, error) {
	var all sync.WaitGroup
	errs := make([]error, len(clients))
	end := time.Now().Add(window)
	for i, c := range clients {
		all.Go(func() { errs[i] = c.sendUntil(end, l) })
	}
	all.Wait()
	var took []time.Duration
	for _, c := range clients {
		took = append(took, c.took...)
	}
	return took, errors.Join(errs...)
}

// client is one connection that is kept alive.
type client struct {
	conn   net.Conn
	close  func()
	answer *bufio.Reader
	random *rand.Rand
	buf    []byte
	took   []time.Duration
}

func dial(ctx context.Context, address string, seed uint64) (*client, error) {
	const largest = 16 << 10 // of an answer's header line; answers are smaller too
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	forget := context.AfterFunc(ctx, func() { conn.Close() })
	return &client{
		conn: conn, close: func() { forget(); conn.Close() }, answer: bufio.NewReaderSize(conn, largest),
		random: rand.New(rand.NewPCG(seed, seed)),
	}, nil
}

// sendUntil sends one request after another, at least one.
func (c *client) sendUntil(end time.Time, l load) error {
	c.took = c.took[:0]
	for began := time.Now(); ; {
		c.buf = l.request(c.buf[:0], l.number(c.random))
		if err := c.roundTrip(); err != nil {
			return fmt.Errorf("%s: %w", bytes.SplitN(c.buf, []byte("\r\n"), 2)[0], err)
		}
		now := time.Now()
		c.took = append(c.took, now.Sub(began))
		if now.After(end) {
			return nil
		}
		began = now
	}
}

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
		_, _ = io.ReadFull(c.answer, text) // it is only for the error
		return fmt.Errorf("status %d: %s", status, text)
	case length == chunked:
		return c.skipChunks()
	}
	_, err = c.answer.Discard(length)
	return err
}

// chunked is the length of an answer that comes in chunks.
const chunked = -1

// head reads the status line and the headers.
func (c *client) head() (status, length int, err error) {
	line, err := c.line()
	if err != nil {
		return 0, 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, 0, fmt.Errorf("not an answer: %q", line)
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
		if _, err := c.answer.Discard(int(size) + len("\r\n")); err != nil || size == 0 {
			return err
		}
	}
}

// line is the next line, without its end. It is good until the next read.
func (c *client) line() ([]byte, error) {
	line, err := c.answer.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
