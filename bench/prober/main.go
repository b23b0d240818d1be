// Command prober sends GET requests to a server at a steady pace for some time, and prints the 50th and the 99th
// percentile of their durations in microseconds, and how many there were.
//
// It is a program of its own so that its requests do not wait, in a process, for the simulated gateways of the
// benchmark.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"gatehouse/bench/alternative"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("prober: ")
	p := &prober{client: &http.Client{}}
	flag.StringVar(&p.url, "url", "", "URL to request, without the last digits of its end")
	flag.IntVar(&p.first, "first", 0, "first number to put at its end")
	flag.IntVar(&p.numbers, "numbers", 1, "how many numbers follow it")
	flag.DurationVar(&p.window, "window", time.Second, "how long to send requests")
	flag.DurationVar(&p.pause, "pause", 10*time.Millisecond, "time between two requests of a connection")
	connections := flag.Int("connections", 4, "number of connections")
	flag.Parse()
	p.client.Transport = &http.Transport{
		MaxIdleConnsPerHost: *connections, DialContext: (&net.Dialer{}).DialContext,
	}
	durations, err := p.run(context.Background(), *connections)
	if err != nil {
		log.Fatal(err)
	}
	slices.Sort(durations)
	n := len(durations)
	fmt.Fprintln(os.Stdout, durations[n/2].Microseconds(), durations[n*99/100].Microseconds(), n)
}

// prober sends requests.
type prober struct {
	client         *http.Client
	url            string
	first, numbers int
	window, pause  time.Duration
}

// run sends requests on several connections, and returns their durations.
func (p *prober) run(ctx context.Context, connections int) ([]time.Duration, error) {
	var all sync.WaitGroup
	durations, errs := make([][]time.Duration, connections), make([]error, connections)
	end := time.Now().Add(p.window)
	for i := range connections {
		all.Go(func() { durations[i], errs[i] = p.sendUntil(ctx, end, i) })
	}
	all.Wait()
	return slices.Concat(durations...), errors.Join(errs...)
}

// sendUntil sends requests until end, but at least two. The first connects, and does not count.
func (p *prober) sendUntil(ctx context.Context, end time.Time, number int) (durations []time.Duration, err error) {
	for n := 0; n < 2 || time.Now().Before(end); n++ {
		number = (number + 7919) % p.numbers // any order
		started := time.Now()
		if err := p.send(ctx, fmt.Sprintf("%s%d", p.url, p.first+number)); err != nil {
			return nil, err
		}
		took := time.Since(started)
		if n > 0 {
			durations = append(durations, took)
		}
		time.Sleep(p.pause - took)
	}
	return durations, nil
}

func (p *prober) send(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Admin-Auth", alternative.AdminSecret)
	response, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
