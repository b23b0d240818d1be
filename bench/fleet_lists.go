package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A list for gateways is decoded as a gateway does it, but not by each of thousands of simulated gateways, which share
// the processors with the server: real ones do it on their own machines. Some gateways, the readers, keep the list that
// they receive and decode it. The others compute a digest of theirs while they receive it. A list is known to have a
// change if it has the same bytes as one that a reader has decoded, except for the nonce at its end.

// tailSize is how much of the end of a list is kept, in bytes. It is more than a nonce and what is around it: the
// header and the end of a member of a gzip stream.
const tailSize = 512

// listID identifies a list apart from its nonce.
type listID struct {
	compressed bool
	length     int64  // of the whole list, as it was sent
	digest     uint64 // of what is before the nonce
}

// receivedList is a list as a gateway received it.
type receivedList struct {
	listID
	tail []byte
	full []byte // the whole list, as it was sent; nil unless a reader received it
}

// digestSeed is the seed of the digests of a run.
var digestSeed = maphash.MakeSeed()

// listBuffers holds buffers of receiveList.
var listBuffers = sync.Pool{New: func() any { return new([tailSize + 64<<10]byte) }}

// receiveList receives the body of a response. It keeps the whole list if keep.
func receiveList(response *http.Response, keep bool) (receivedList, error) {
	buf := listBuffers.Get().(*[tailSize + 64<<10]byte)
	defer listBuffers.Put(buf)
	list := receivedList{listID: listID{compressed: response.Header.Get("Content-Encoding") == "gzip"}}
	var digest maphash.Hash
	digest.SetSeed(digestSeed)
	for held := 0; ; {
		n, err := response.Body.Read(buf[held:])
		if keep {
			list.full = append(list.full, buf[held:held+n]...)
		}
		list.length += int64(n)
		held += n
		if before := held - tailSize; before > 0 {
			_, _ = digest.Write(buf[:before]) // never fails
			held = copy(buf[:], buf[before:held])
		}
		switch {
		case errors.Is(err, io.EOF):
			list.tail = bytes.Clone(buf[:held])
			_, _ = digest.Write(list.fixed())
			list.digest = digest.Sum64()
			return list, nil
		case err != nil:
			return list, err
		}
	}
}

// listEnd matches the end of a list that is complete.
var listEnd = regexp.MustCompile(`\],"Nonce":"([^"\\]*)"\}$`)

// nonce returns the nonce of a list. Of a compressed list, the end has to be a member of its own of the gzip stream.
func (l receivedList) nonce() (string, error) {
	end := l.tail
	if l.compressed {
		var err error
		if end, err = lastMember(l.tail); err != nil {
			return "", err
		}
	}
	found := listEnd.FindSubmatch(end)
	if found == nil {
		return "", fmt.Errorf("a list ends with %q", end[max(0, len(end)-80):])
	}
	return string(found[1]), nil
}

// lastMember decodes the last member of a gzip stream, of which data is the end.
func lastMember(data []byte) ([]byte, error) {
	at := bytes.LastIndex(data, []byte{0x1f, 0x8b, 8}) // the magic number, and deflate
	if at < 0 {
		return nil, errors.New("the end of a compressed list is no gzip member of its own")
	}
	decoder, err := gzip.NewReader(bytes.NewReader(data[at:]))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(decoder)
}

// fixed returns the part of the tail before the nonce, which all answers with the same list have.
func (l receivedList) fixed() []byte {
	if l.compressed {
		return l.tail[:max(0, bytes.LastIndex(l.tail, []byte{0x1f, 0x8b, 8}))]
	}
	return l.tail[:max(0, bytes.LastIndex(l.tail, []byte(`],"Nonce":"`)))]
}

// changePrefix begins the names of APIs that the benchmark changed. The number of the change follows.
const changePrefix = "fleet change "

// listItem is what is checked of an API or a policy.
type listItem struct {
	Definition *struct {
		ID   string `json:"api_id"`
		Name string `json:"name"`
	} `json:"api_definition"`
	PolicyID string `json:"_id"`
}

// decodeList decodes a list of items, checks that it has as many as there are, each once, and returns the number of the
// last change that it has.
func decodeList(list receivedList, items int) (change int, err error) {
	var body io.Reader = bytes.NewReader(list.full)
	if list.compressed {
		decoder, err := gzip.NewReader(bufio.NewReader(body))
		if err != nil {
			return 0, err
		}
		body = decoder
	}
	text, err := io.ReadAll(body) // as a gateway does it
	if err != nil {
		return 0, err
	}
	var decoded struct {
		Message []listItem
		Nonce   string
	}
	if err := json.Unmarshal(text, &decoded); err != nil {
		return 0, err
	}
	seen := map[string]bool{}
	for _, item := range decoded.Message {
		id := item.PolicyID
		if item.Definition != nil {
			id = item.Definition.ID
			if number, changed := strings.CutPrefix(item.Definition.Name, changePrefix); changed {
				n, err := strconv.Atoi(number)
				if err != nil {
					return 0, err
				}
				change = max(change, n)
			}
		}
		seen[id] = true
	}
	if delete(seen, ""); len(seen) != items || len(decoded.Message) != items || decoded.Nonce == "" {
		return 0, fmt.Errorf("a list of %d items has %d, %d of them with an ID of their own",
			items, len(decoded.Message), len(seen))
	}
	return change, nil
}

// knownLists holds the lists of one kind that readers have decoded.
type knownLists struct {
	items int // in a complete list

	mu      sync.Mutex
	changes map[listID]int  // the last change of each
	reading map[listID]bool // being decoded, or done
	errs    []error
	readers sync.WaitGroup
}

func newKnownLists(items int) *knownLists {
	return &knownLists{items: items, changes: map[listID]int{}, reading: map[listID]bool{}}
}

// read decodes a list in the background, unless one with the same ID has been.
func (k *knownLists) read(list receivedList) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reading[list.listID] {
		return
	}
	k.reading[list.listID] = true
	k.readers.Go(func() {
		change, err := decodeList(list, k.items)
		k.mu.Lock()
		defer k.mu.Unlock()
		if err != nil {
			k.errs = append(k.errs, err)
			return
		}
		k.changes[list.listID] = change
	})
}

// wait waits until all lists are decoded, and returns the errors.
func (k *knownLists) wait() error {
	k.readers.Wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.errs...)
}

// has reports whether a list has a change. It does not while no reader has decoded a list with the same ID.
func (k *knownLists) has(list receivedList, change int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	last, known := k.changes[list.listID]
	return known && last >= change
}
