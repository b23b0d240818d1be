package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gatehouse/store"
)

// requestBuckets are in seconds: a lookup takes a tenth of a millisecond, an import of a hundred thousand APIs ten
// seconds.
var requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// metrics are the metrics of one server, for Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

func newMetrics(db *store.Store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), // not the default one, which all servers of a process would share
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_request_duration_seconds", Buckets: requestBuckets,
			Help: "Time from a request's headers to the end of its response, by operation ID and status.",
		}, []string{"operation", "status"}),
	}
	connections := func(state string, count func(store.Connections) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_postgres_connections", ConstLabels: prometheus.Labels{"state": state},
			Help: "Connections of the pool to Postgres: in use, idle, and the maximum.",
		}, func() float64 { return float64(count(db.Connections())) })
	}
	m.registry.MustRegister(m.requests, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		connections("in_use", func(c store.Connections) int { return c.InUse }),
		connections("idle", func(c store.Connections) int { return c.Idle }),
		connections("max", func(c store.Connections) int { return c.Max }))
	return m
}

// observe records a request. Requests that match no operation are recorded together: anybody can make up paths.
func (m *metrics) observe(c echo.Context, duration time.Duration) {
	operation, status := "none", "200"
	if op := operationOf(c); op != nil {
		operation = op.ID
	}
	if code := c.Response().Status; code != http.StatusOK {
		status = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(operation, status).Observe(duration.Seconds())
}
