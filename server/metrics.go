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

// requestBuckets are in seconds: a lookup takes a tenth of a millisecond, the import of a hundred thousand APIs ten seconds.
var requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// metrics are a server's numbers, for Prometheus.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
}

func newMetrics(db *store.Store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), // not the default one, which all servers of a process would share
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_request_duration_seconds", Buckets: requestBuckets,
			Help: "Time from a request's headers to the end of its answer, by the contract's operation id and the answer's status.",
		}, []string{"operation", "status"}),
	}
	connections := func(state string, count func(store.Connections) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_postgres_connections", ConstLabels: prometheus.Labels{"state": state},
			Help: "Connections of the pool to Postgres: in use, idle, and how many there may be.",
		}, func() float64 { return float64(count(db.Connections())) })
	}
	m.registry.MustRegister(m.requests, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		connections("in_use", func(c store.Connections) int { return c.InUse }),
		connections("idle", func(c store.Connections) int { return c.Idle }),
		connections("max", func(c store.Connections) int { return c.Max }))
	return m
}

// observe counts a request. What is in no contract is counted together: its paths are anybody's to make up.
func (m *metrics) observe(c echo.Context, took time.Duration) {
	operation, status := "none", "200"
	if op := operationOf(c); op != nil {
		operation = op.ID
	}
	if code := c.Response().Status; code != http.StatusOK {
		status = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(operation, status).Observe(took.Seconds())
}
