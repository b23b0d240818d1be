// Package testport finds loopback ports for programs that tests start and restart, and reach at the same port.
package testport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports are taken from first to last. Linux and macOS give higher ports, from 32768 and 49152 on, to connections and to
// listeners that name no port, so no other test gets one of these by chance.
const first, last = 20000, 32767

// attempts bounds the search for a free port.
const attempts = 1000

// The sockets keep ports from the other processes that use this package, each of which begins elsewhere.
var (
	mu           sync.Mutex // guards the others, for the time of one search
	next         = os.Getpid()
	reservations []net.PacketConn
)

// Reserve returns a loopback port on which nothing listens. No process gets it from Reserve again until this one has
// ended: a UDP socket at the port is the mark, which hinders no TCP listener.
func Reserve() (int, error) {
	mu.Lock()
	defer mu.Unlock()
	var err error
	for range attempts {
		port := first + next%(last-first+1)
		next++
		var reservation net.PacketConn
		if reservation, err = reserve(port); err == nil {
			reservations = append(reservations, reservation)
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// Address returns the host with a port of Reserve.
func Address() (string, error) {
	port, err := Reserve()
	return address(port), err
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// reserve fails if the port is reserved, or if something listens on it.
func reserve(port int) (net.PacketConn, error) {
	ctx, config := context.Background(), net.ListenConfig{}
	reservation, err := config.ListenPacket(ctx, "udp", address(port))
	if err != nil {
		return nil, err
	}
	listener, err := config.Listen(ctx, "tcp", address(port))
	if err != nil {
		return nil, errors.Join(err, reservation.Close())
	}
	return reservation, listener.Close()
}
