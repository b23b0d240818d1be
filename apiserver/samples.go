package apiserver

import (
	"math"
	"net/http"
	"sync/atomic"
)

// samples chooses the requests that have a line in the log, evenly. Its method may be called concurrently.
type samples struct {
	share    float64 // of requests with a status below 500
	requests atomic.Int64
}

// has reports whether a request with this status has a line.
func (s *samples) has(status int) bool {
	if status >= http.StatusInternalServerError || s.share >= 1 {
		return true
	}
	n := float64(s.requests.Add(1))
	return math.Floor(n*s.share) > math.Floor((n-1)*s.share)
}
