package contract

import (
	"fmt"
	"slices"

	"github.com/hbollon/go-edlib"
)

// maxTypingErrors is how far a name may be from the one that is suggested: characters that are inserted, deleted,
// replaced or swapped.
const maxTypingErrors = 2

// suggestion returns a question that names the closest of the known names, "" if none is close.
func suggestion(name string, known []string) string {
	best, least := "", maxTypingErrors+1
	slices.Sort(known)
	for _, candidate := range known {
		if d := edlib.OSADamerauLevenshteinDistance(name, candidate); d < least && d < len(candidate) {
			best, least = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %s?", best)
}
