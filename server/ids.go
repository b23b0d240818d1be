package server

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
)

// idList is ids in their order, each there once. It holds them without a pointer to each, and without moving what it holds:
// an import may have a hundred thousand.
type idList struct {
	blocks [][]byte // each id behind its length
	known  map[[sha256.Size / 2]byte]struct{}
}

// idBlock is how many bytes of ids are held together.
const idBlock = 64 << 10

// add adds an id, and says whether it is new.
func (l *idList) add(id string) bool {
	sum := sha256.Sum256([]byte(id))
	key := [sha256.Size / 2]byte(sum[:])
	if _, twice := l.known[key]; twice {
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
