package apidef

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReferencesAreComparedOnce: the time of a comparison does not grow with the square of their number.
func TestReferencesAreComparedOnce(t *testing.T) {
	t.Parallel()
	references := func(prefix string) (refs []Reference) {
		for n := range 300_000 {
			refs = append(refs, Reference{"", prefix + strconv.Itoa(n)})
		}
		return refs
	}
	start := time.Now()
	left := without(append(references("a"), references("a")...), references("b"))
	require.Len(t, left, 300_000)
	require.Less(t, time.Since(start), 10*time.Minute) // the square would take hours
	require.Empty(t, without(references("a"), references("a")))
}
