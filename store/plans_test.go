package store_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

// statement is a statement that the store has run.
type statement struct {
	method, sql string
	args        []any
}

// recorder is a tracer that records statements.
type recorder struct {
	t *testing.T

	mu         sync.Mutex // guards what follows
	method     string
	statements []statement
}

func (r *recorder) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	sql, args := data.SQL, data.Args
	if len(args) == 1 {
		if rewriter, ok := args[0].(pgx.QueryRewriter); ok {
			var err error
			sql, args, err = rewriter.RewriteQuery(ctx, conn, sql, nil)
			if err != nil {
				r.t.Error(err)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := func(s statement) bool { return s.method == r.method && s.sql == sql }
	if plannable.MatchString(sql) && !slices.ContainsFunc(r.statements, known) {
		r.statements = append(r.statements, statement{r.method, sql, args})
	}
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *recorder) run(t *testing.T, method string, call func() error) {
	t.Helper()
	r.mu.Lock()
	r.method = method
	r.mu.Unlock()
	err := call()
	for _, allowed := range []error{store.ErrNotFound, store.ErrOrgKeyLeased, store.ErrLeaseLost} {
		if err != nil && strings.Contains(err.Error(), allowed.Error()) {
			return
		}
	}
	require.NoError(t, err, method)
}

// plannable are statements that have a plan; those of transactions and configuration have none.
var plannable = regexp.MustCompile(`(?i)^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b`)

func TestPlansUseIndexes(t *testing.T) {
	t.Parallel()
	conn := storetest.Database(t)
	insertManyRows(t, conn)
	recorded := &recorder{t: t}
	s, err := store.Open(t.Context(), store.WithTracer(store.Config{
		ConnString: conn, Now: time.Now, IDs: store.NewIDs(time.Now),
	}, recorded))
	require.NoError(t, err)
	t.Cleanup(s.Close)

	all := everyCall(t, s)
	for _, method := range slices.Sorted(maps.Keys(all)) {
		for _, call := range all[method] {
			recorded.run(t, method, call)
		}
	}
	require.Greater(t, len(recorded.statements), 60)

	explaining := connect(t, conn)
	for i, st := range recorded.statements {
		if _, ok := wholeTable[st.method]; ok || !strings.Contains(st.sql, "WHERE") {
			continue
		}
		for mode, explained := range explain(t, explaining, fmt.Sprintf("statement_%d", i), st) {
			assert.Empty(t, tablesRead(explained), "%s reads whole tables with a %s plan:%s", st.method, mode, st.sql)
		}
	}
}

// insertManyRows fills the tables. An index must cost less than reading all of a table.
func insertManyRows(t *testing.T, connString string) {
	t.Helper()
	for _, table := range tables {
		storetest.Exec(t, connString, table.rows)
	}
	storetest.Exec(t, connString, `VACUUM ANALYZE`)
	for _, table := range tables {
		var n int
		count := connect(t, connString).QueryRow(t.Context(), `SELECT count(*) FROM `+table.name)
		require.NoError(t, count.Scan(&n))
		require.GreaterOrEqual(t, n, 1000, "rows of %s (store/tables_test.go) are too few for a plan with an index", table.name)
	}
}

// everyCall returns the calls of all tables. It fails for each method of Store that no table calls, and for each call
// that is of no method.
func everyCall(t *testing.T, s *store.Store) calls {
	t.Helper()
	all := callsOfNoTable(t.Context(), s)
	for _, table := range tables {
		for method, its := range table.calls(t.Context(), s) {
			require.NotContains(t, all, method, "two tables call it (store/tables_test.go)")
			all[method] = its
		}
	}
	methods := map[string]bool{}
	for method := range reflect.TypeFor[*store.Store]().Methods() {
		methods[method.Name] = true
		if _, ok := all[method.Name]; !ok {
			t.Errorf("no table calls Store.%s: add a call to the entry of its table in store/tables_test.go, so that its plan is checked",
				method.Name)
		}
	}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(wholeTable))) {
		if !methods[name] {
			t.Errorf("store/tables_test.go has %s, which is no method of Store: remove or rename it", name)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// explain returns the plan that Postgres makes for the arguments, and the one for any arguments, to which it may change
// when a statement has been run a few times.
func explain(t *testing.T, conn *pgx.Conn, name string, st statement) map[string]any {
	t.Helper()
	plans := map[string]any{}
	var custom, generic []any
	require.NoError(t, conn.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) `+st.sql, st.args...).Scan(&custom), st.sql)
	prepared, err := conn.Prepare(t.Context(), name, st.sql)
	require.NoError(t, err)
	execute := name
	if n := len(prepared.ParamOIDs); n > 0 {
		execute += `(NULL` + strings.Repeat(`, NULL`, n-1) + `)`
	}
	_, err = conn.Exec(t.Context(), `SET plan_cache_mode = force_generic_plan`)
	require.NoError(t, err)
	explained := conn.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) EXECUTE `+execute, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, explained.Scan(&generic))
	_, err = conn.Exec(t.Context(), `RESET plan_cache_mode`)
	require.NoError(t, err)
	plans["custom"], plans["generic"] = custom, generic
	return plans
}

// tablesRead returns the tables that a plan reads from the beginning to the end, one after another or in an index's
// order.
func tablesRead(plan any) (tables []string) {
	switch node := plan.(type) {
	case []any:
		for _, child := range node {
			tables = append(tables, tablesRead(child)...)
		}
	case map[string]any:
		_, bounded := node["Index Cond"]
		_, filtered := node["Filter"]
		if node["Node Type"] == "Seq Scan" || node["Node Type"] == "Index Scan" && filtered && !bounded {
			tables = append(tables, fmt.Sprint(node["Relation Name"]))
		}
		for _, child := range node {
			tables = append(tables, tablesRead(child)...)
		}
	}
	return tables
}
