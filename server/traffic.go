package server

import (
	"net/http"
	"sync"
	"time"

	"gatehouse/gen/dashboard"
)

// trafficMinutes is how many minutes of requests are kept.
const trafficMinutes = 60

// traffic counts the requests of each of the last minutes.
type traffic struct {
	now func() time.Time

	mu      sync.Mutex // guards minutes, for the time of an addition
	minutes [trafficMinutes]trafficMinute
}

// trafficMinute has the requests that were answered in a minute.
type trafficMinute struct {
	number                               int64 // minutes since 1970
	requests, clientErrors, serverErrors int
}

// count adds a request that was answered with a status.
func (t *traffic) count(status int) {
	number := t.now().Unix() / int64(time.Minute/time.Second)
	t.mu.Lock()
	defer t.mu.Unlock()
	minute := &t.minutes[number%trafficMinutes]
	if minute.number != number {
		*minute = trafficMinute{number: number}
	}
	minute.requests++
	switch {
	case status >= http.StatusInternalServerError:
		minute.serverErrors++
	case status >= http.StatusBadRequest:
		minute.clientErrors++
	}
}

// lastHour returns the requests of each of the last 60 minutes, the oldest first.
func (t *traffic) lastHour() []dashboard.OverviewTraffic {
	const seconds = int64(time.Minute / time.Second)
	last := t.now().Unix() / seconds
	t.mu.Lock()
	defer t.mu.Unlock()
	hour := make([]dashboard.OverviewTraffic, 0, trafficMinutes)
	for number := last - trafficMinutes + 1; number <= last; number++ {
		counted := t.minutes[number%trafficMinutes]
		if counted.number != number {
			counted = trafficMinute{number: number}
		}
		hour = append(hour, counted.shown())
	}
	return hour
}

func (m trafficMinute) shown() dashboard.OverviewTraffic {
	return dashboard.OverviewTraffic{
		At: time.Unix(m.number*int64(time.Minute/time.Second), 0).UTC(), Requests: m.requests,
		ClientErrors: m.clientErrors, ServerErrors: m.serverErrors,
	}
}
