package server

import (
	"crypto/sha256"
	"iter"
)

// idList is ids in their order, each there once. It holds them without a pointer to each: an import may have a hundred
// thousand.
type idList struct {
	text  []byte // of all, one after another
	ends  []int  // in text
	known map[[sha256.Size / 2]byte]struct{}
}

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
	l.text = append(l.text, id...)
	l.ends = append(l.ends, len(l.text))
	return true
}

func (l *idList) len() int { return len(l.ends) }

func (l *idList) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		start := 0
		for _, end := range l.ends {
			if !yield(string(l.text[start:end])) {
				return
			}
			start = end
		}
	}
}
