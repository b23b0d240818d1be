package store

import (
	"errors"
	"strconv"
	"sync"
)

// ErrDeaf is returned while Listen does not receive what changes.
var ErrDeaf = errors.New("changes are not received from the database")

// Version stands for what is stored. Versions that are equal stand for the same APIs, policies and organisations, as
// far as programs announce what they change.
type Version struct {
	// connection is that of the listener: notices between two connections are lost.
	connection uint64
	changes    uint64
}

// SameServer reports whether both versions are of one connection to one server. If not, even rows of the same xmin may
// differ: a server may have taken over that lacked the last transactions of the one before it.
func (v Version) SameServer(other Version) bool { return v.connection == other.connection }

// versions counts the changes that a listener receives.
type versions struct {
	mu      sync.Mutex // guards the following; nothing waits while it is held
	version Version
	channel string // on which the listener notifies itself; "" if there is none
	last    uint64
	waiting map[string]chan Version // by the payload of the notice that is expected; each has room for its version
}

// begin is called when a listener receives notices.
func (v *versions) begin(channel string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version.connection++
	v.channel, v.waiting = channel, map[string]chan Version{}
}

// end is called when the connection of the listener ends.
func (v *versions) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, heard := range v.waiting {
		close(heard)
	}
	v.channel, v.waiting = "", nil
}

// count is called for each event.
func (v *versions) count(event Event) {
	if event == EventOrgKey {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.version.changes++
}

// expect returns the channel and payload of a notice, and what receives the version when the notice is received. It is
// closed if the connection ends before.
func (v *versions) expect() (channel, payload string, heard <-chan Version, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.channel == "" {
		return "", "", nil, ErrDeaf
	}
	v.last++
	payload = strconv.FormatUint(v.last, 10)
	expected := make(chan Version, 1)
	v.waiting[payload] = expected
	return v.channel, payload, expected, nil
}

// forget is called when a notice is not expected any more.
func (v *versions) forget(payload string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.waiting, payload)
}

// heard is called for each notice that the listener has sent itself.
func (v *versions) heard(payload string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if expected, ok := v.waiting[payload]; ok {
		delete(v.waiting, payload) // a statement that is repeated notifies twice
		expected <- v.version
	}
}
