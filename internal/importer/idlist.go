package importer

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
)

// idList is an ordered set of IDs. An import may have hundreds of thousands: the list holds them in few large blocks,
// which the garbage collector does not scan and which never move.
type idList struct {
	blocks [][]byte // each ID is preceded by its length
	known  map[[sha256.Size / 2]byte]struct{}
}

// idBlock is the size of a block in bytes.
const idBlock = 64 << 10

// add appends an ID, and reports whether it is new.
func (l *idList) add(id string) bool {
	sum := sha256.Sum256([]byte(id))
	key := [sha256.Size / 2]byte(sum[:])
	if _, exists := l.known[key]; exists {
		return false
	}
	if l.known == nil {
		l.known = map[[sha256.Size / 2]byte]struct{}{}
	}
	l.known[key] = struct{}{}
	last := len(l.blocks) - 1
	if size := binary.MaxVarintLen64 + len(id); last < 0 || cap(l.blocks[last])-len(l.blocks[last]) < size {
		l.blocks = append(l.blocks, make([]byte, 0, max(idBlock, size)))
		last++
	}
	l.blocks[last] = append(binary.AppendUvarint(l.blocks[last], uint64(len(id))), id...)
	return true
}

func (l *idList) len() int { return len(l.known) }

// all returns the IDs in the order in which they were added.
func (l *idList) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, block := range l.blocks {
			for len(block) > 0 {
				size, n := binary.Uvarint(block)
				end := n + int(size)
				if !yield(string(block[n:end])) {
					return
				}
				block = block[end:]
			}
		}
	}
}
