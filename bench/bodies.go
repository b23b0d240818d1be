package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
)

const (
	// hostileBodies is how many bodies are sent at the same time.
	hostileBodies = 64
	// hostileSize is the size of each in bytes. It is decoded to several hundred times that.
	hostileSize = 2_500_000
)

// measureBodies measures the resident memory of gatehouse while it gets many compressed bodies at once, each of which
// would take more memory than there is: gzip of many small values. The others would take it, and are left out.
func (b *bench) measureBodies(ctx context.Context) (err error) {
	conn, err := b.database(ctx, "bodies")
	if err != nil {
		return err
	}
	running, err := b.startAll(ctx, conn, gatehouse)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.stop(ctx), b.drop(ctx, "bodies")) }()
	body, err := hostileBody()
	if err != nil {
		return err
	}
	for round := range b.rounds {
		b.progressf("bodies: round %d of %d", round+1, b.rounds)
		if err := b.bodyRound(ctx, running[gatehouse], body); err != nil {
			return fmt.Errorf("bodies: %w", err)
		}
	}
	return nil
}

// hostileBody returns a gzip body of hostileSize bytes.
func hostileBody() ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := io.WriteString(w, `{"apis":[0`)
	for values := strings.Repeat(",0", 1<<20); err == nil && out.Len() < hostileSize; {
		_, err = io.WriteString(w, values)
	}
	_, endErr := io.WriteString(w, "]}")
	return out.Bytes(), errors.Join(err, endErr, w.Close())
}

// bodyRound sends the body on hostileBodies connections at once.
func (b *bench) bodyRound(ctx context.Context, p *process, body []byte) error {
	if err := resetPeak(p.handle.Pid); err != nil {
		return err
	}
	sending, sendCtx := errgroup.WithContext(ctx)
	for range hostileBodies {
		sending.Go(func() error { return p.sendHostile(sendCtx, body) })
	}
	if err := sending.Wait(); err != nil {
		return err
	}
	b.report.add("hostile_bodies_rss_mib", "MiB", float64(peakMemory(p.handle.Pid))/mebibyte)
	return nil
}

// sendHostile sends the body without its length. It has to be refused.
func (p *process) sendHostile(ctx context.Context, body []byte) error {
	url := "http://" + p.address + "/admin/organisations"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Admin-Auth", adminSecret)
	r.Header.Set("Content-Encoding", "gzip")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}
	response, err := transport.RoundTrip(r)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil // refused, and the connection closed while the body was still sent
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		return fmt.Errorf("status %s, expected 413", response.Status)
	}
	return nil
}
