package server

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gatehouse/contract"
	"gatehouse/internal/gateway"
	"gatehouse/internal/importer"
	"gatehouse/store"
)

// requestBuckets are in seconds: a lookup takes a tenth of a millisecond, an import of a hundred thousand APIs ten
// seconds.
var requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// metrics are the metrics of one server, for Prometheus. Labels have IDs of operations and names of outcomes, never
// what clients send: the number of series is bounded.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	// database has how long requests use the database, those that do.
	database *prometheus.HistogramVec
	// departures counts responses that depart from the contract.
	departures *prometheus.CounterVec
	// refusals counts requests that would have changed something, and were refused.
	refusals *prometheus.CounterVec
	// listReads counts how often lists for gateways are read from the database.
	listReads *prometheus.CounterVec
	// importedDocuments and importedBytes count what imports have brought.
	importedDocuments, importedBytes *prometheus.CounterVec
	// notices counts attempts to notify gateways.
	notices *prometheus.CounterVec
	// auditEvents counts audit events by what became of them.
	auditEvents *prometheus.CounterVec
	// traffic has the requests of the last hour.
	traffic *traffic
	// nodes is the number of registered gateways, NaN while it is not known.
	nodes prometheus.Gauge
}

// newMetrics returns the metrics of a server, without those of the nodes that are behind (addNodesBehind).
func newMetrics(db *store.Store, now func() time.Time) *metrics {
	registry := prometheus.NewRegistry() // not the default one, which all servers of a process would share
	m := &metrics{registry: registry, traffic: &traffic{now: now}}
	m.addRequests()
	m.addWork()
	m.addPool(db)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// addRequests adds the metrics of requests.
func (m *metrics) addRequests() {
	m.requests = m.histograms("gatehouse_request_duration_seconds",
		"Time from a request's headers to the end of its response, by operation ID and status.", "operation", "status")
	m.database = m.histograms("gatehouse_request_database_seconds",
		"Time that a request waits for connections to the database and uses them, by operation ID. "+
			"Requests that need no connection are not counted.", "operation")
	m.departures = m.counters("gatehouse_contract_departures_total",
		"Responses that depart from the contract, by operation ID and status.", "operation", "status")
	m.refusals = m.counters("gatehouse_refused_changes_total",
		"Requests to change something that were refused, by operation ID and outcome, as in the audit log.",
		"operation", "outcome")
}

// addWork adds the metrics of imports, and of what is done for gateways.
func (m *metrics) addWork() {
	m.importedDocuments = m.counters("gatehouse_import_documents_total",
		"Documents of imports, by operation ID and result: imported (also if it was stored already) or refused.",
		"operation", "result")
	m.importedBytes = m.counters("gatehouse_import_bytes_total",
		"Bytes received of the bodies of imports, as they were sent, by operation ID.", "operation")
	m.listReads = m.counters("gatehouse_node_list_reads_total",
		"Lists for gateways, or the parts of them that have changed, that were read from the database.", "operation")
	m.notices = m.counters("gatehouse_notices_total",
		"Attempts to notify gateways of a change, by way and result: sent, no_listeners (no gateway is connected to the "+
			"Redis) or failed. Only one server of an installation notifies them.", "by", "result")
	m.auditEvents = m.counters("gatehouse_audit_events_total",
		"Audit events of authenticated callers, by result: stored (in the database, for GET /api/audit-logs) or "+
			"dropped. The audit log has all of them.", "result")
	m.nodes = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatehouse_nodes_registered",
		Help: "Registered gateways of the installation. NaN while the database does not answer.",
	})
	m.registry.MustRegister(m.nodes)
}

// addPool adds the metrics of the connections to the database.
func (m *metrics) addPool(db *store.Store) {
	const help = "Connections of the pool to Postgres: in use, idle, and the maximum."
	for state, count := range map[string]func(store.Connections) int{
		"in_use": func(c store.Connections) int { return c.InUse },
		"idle":   func(c store.Connections) int { return c.Idle },
		"max":    func(c store.Connections) int { return c.Max },
	} {
		m.gauge(prometheus.GaugeOpts{
			Name: "gatehouse_postgres_connections", ConstLabels: prometheus.Labels{"state": state}, Help: help,
		}, func() int { return count(db.Connections()) })
	}
	m.gauge(prometheus.GaugeOpts{
		Name: "gatehouse_postgres_waiting", Help: "Calls that wait for a connection to Postgres.",
	}, func() int { return db.Connections().Waiting })
}

// addNodesBehind adds the number of nodes that are behind.
func (m *metrics) addNodesBehind(count func() int) {
	m.gauge(prometheus.GaugeOpts{
		Name: "gatehouse_nodes_behind",
		Help: "Gateways that have not loaded the last change in time. 0 on servers that do not notify gateways.",
	}, count)
}

func (m *metrics) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	added := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: requestBuckets}, labels)
	m.registry.MustRegister(added)
	return added
}

func (m *metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	added := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(added)
	return added
}

func (m *metrics) gauge(opts prometheus.GaugeOpts, value func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(opts, func() float64 { return float64(value()) }))
}

// observe records a request. Requests that match no operation are recorded together: their paths are arbitrary.
func (m *metrics) observe(c echo.Context, duration time.Duration) {
	operation, status := "none", "200"
	if r := requestOf(c); r != nil {
		operation = r.Operation.ID
		if used, ok := r.databaseTimes.Total(); ok {
			m.database.WithLabelValues(operation).Observe(used.Seconds())
		}
	}
	if code := c.Response().Status; code != http.StatusOK {
		status = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(operation, status).Observe(duration.Seconds())
	m.traffic.count(c.Response().Status)
}

// refused records a request that would have changed something, if it was refused. One that failed was not.
func (m *metrics) refused(r *request, reply contract.Reply) {
	if status := reply.Response.Status; status >= http.StatusBadRequest && status < http.StatusInternalServerError {
		m.refusals.WithLabelValues(r.Operation.ID, string(reply.Outcome)).Inc()
	}
}

// imported records the documents of an import.
func (m *metrics) imported(r *request, result *importer.Result) {
	imported, refused := result.Count()
	m.importedDocuments.WithLabelValues(r.Operation.ID, "imported").Add(float64(imported))
	m.importedDocuments.WithLabelValues(r.Operation.ID, "refused").Add(float64(refused))
}

// addNotices adds the series of the ways to notify gateways that there are, so that the first failure is an increase.
func (m *metrics) addNotices(cfg Config) {
	for by, exists := range map[string]bool{"control_api": cfg.Gateway != nil, "redis": cfg.Redis != nil} {
		for _, result := range []string{"sent", "no_listeners", "failed"} {
			if exists {
				m.notices.WithLabelValues(by, result)
			}
		}
	}
}

// noticed records an attempt to notify gateways.
func (m *metrics) noticed(by string, err error) {
	result := "sent"
	switch {
	case errors.Is(err, gateway.ErrNoListeners):
		result = "no_listeners"
	case err != nil:
		result = "failed"
	}
	m.notices.WithLabelValues(by, result).Inc()
}

// countNodes reads the number of registered gateways.
func (s *Server) countNodes(ctx context.Context) {
	registered := math.NaN()
	if found, _ := s.store.Health(ctx); found.Nodes != nil {
		registered = float64(found.Nodes.Registered)
	}
	s.metrics.nodes.Set(registered)
}

// meteredReader counts the bytes that are read.
type meteredReader struct {
	io.Reader

	bytes prometheus.Counter
}

// Read implements io.Reader.
func (r meteredReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.bytes.Add(float64(n))
	return n, err
}
