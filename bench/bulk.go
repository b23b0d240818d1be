package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// bulkRun measures imports and exports of n documents of one kind.
type bulkRun struct {
	*bench
	kind
	n      int
	conn   string
	corpus corpus
	// checked is set when gatehouse has checked whether gateways can decode the documents.
	checked bool
	// refused holds the servers that responded with an error to an import or export.
	refused map[string]bool
}

// measureBulk measures imports, exports and lists for gateways, in a database of their own.
func (b *bench) measureBulk(ctx context.Context) error {
	conn, err := b.database(ctx, "bulk")
	if err != nil {
		return err
	}
	if err := fill(ctx, conn, owners, 1); err != nil {
		return err
	}
	for _, part := range []struct {
		kind
		sizes []int
	}{{apis(), b.definitions}, {policies(), b.policies}} {
		for _, n := range part.sizes {
			run := &bulkRun{bench: b, kind: part.kind, n: n, conn: conn, refused: map[string]bool{}}
			if err := run.measure(ctx); err != nil {
				return fmt.Errorf("%d %s: %w", n, part.table, err)
			}
		}
		b.aliasSizes(part.kind, part.sizes)
	}
	return b.drop(ctx, "bulk")
}

// aliasSizes adds results without a size in their name: of times, the largest size that all contenders have; of memory,
// the largest size.
func (b *bench) aliasSizes(k kind, sizes []int) {
	for _, n := range sizes {
		for _, action := range []string{"import", "export", "node_list"} {
			for _, name := range append(slices.Clone(k.servers), psqlCopy) {
				base := resultPrefix(name) + k.prefix + action
				b.report.alias(base+"_peak_rss_mib", withSize(base+"_peak_rss_mib", n))
				if n <= maxMaterialised {
					b.report.alias(base+"_s", withSize(base+"_s", n))
					b.report.alias(base+"_vs_copy", withSize(base+"_vs_copy", n))
				}
			}
		}
	}
}

// withSize returns the name of a result for a number of documents or users.
func withSize(name string, n int) string { return name + "_" + strconv.Itoa(n) }

func (run *bulkRun) measure(ctx context.Context) (err error) {
	run.progressf("%s: writing %d documents", run.table, run.n)
	if run.corpus, err = run.write(run.dir, run.n); err != nil {
		return err
	}
	defer run.corpus.remove()
	if info, err := os.Stat(run.corpus.body); err == nil {
		run.report.note("%d %s are %.1f MB", run.n, run.table, float64(info.Size())/1e6)
	}
	if err := run.runRounds(ctx, "import", run.contenders(), run.importOnce); err != nil {
		return err
	}
	if err := run.fillTables(ctx); err != nil {
		return err
	}
	if err := run.runRounds(ctx, "export", run.contenders(), run.exportOnce); err != nil {
		return err
	}
	// The other servers have no lists for gateways.
	return run.runRounds(ctx, "node_list", []string{gatehouse}, run.gatewayListOnce)
}

// contenders returns the servers that are measured with n documents.
func (run *bulkRun) contenders() []string {
	return slices.DeleteFunc(slices.Clone(run.servers), func(name string) bool {
		return run.refused[name] || run.n > maxMaterialised && (name == stock || name == ogen)
	})
}

// runRounds measures each of the servers, and psql, once a round. It starts the servers, so that their idle memory is
// that of a new process.
func (run *bulkRun) runRounds(ctx context.Context, action string, names []string,
	measureOnce func(context.Context, *process) (transfer, error),
) (err error) {
	running, err := run.startAll(ctx, run.conn, names...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.stop(ctx)) }()
	for round := range run.rounds {
		label := strings.ReplaceAll(action, "_", " ")
		run.progressf("%s of %d %s: round %d of %d", label, run.n, run.table, round+1, run.rounds)
		transfers := map[string]transfer{}
		for _, name := range shuffled(append(slices.Clone(names), psqlCopy)) {
			if run.refused[name] {
				continue
			}
			t, err := measureOnce(ctx, running[name]) // nil for psqlCopy
			if err != nil {
				return fmt.Errorf("%s: %s: %w", action, name, err)
			}
			if name != psqlCopy && t.status != http.StatusOK {
				run.refused[name] = true
				run.report.note("%s refused the %s of %d %s: %d %s", name, action, run.n, run.table, t.status, t.body)
				continue
			}
			transfers[name] = t
		}
		run.record(action, transfers)
	}
	return nil
}

// record adds the results of a round to the report.
func (run *bulkRun) record(action string, transfers map[string]transfer) {
	for _, name := range append(slices.Clone(run.servers), psqlCopy) {
		t, ok := transfers[name]
		if !ok {
			continue
		}
		base := resultPrefix(name) + run.prefix + action
		run.report.add(withSize(base+"_s", run.n), "s", t.duration.Seconds())
		if name == psqlCopy {
			continue
		}
		run.report.ratio(withSize(base+"_vs_copy", run.n), t.duration.Seconds(), transfers[psqlCopy].duration.Seconds())
		run.report.add(withSize(base+"_peak_rss_mib", run.n), aboveIdle, float64(t.peakMemory)/mebibyte)
	}
}

// importOnce imports into empty tables, after a checkpoint. p is nil for psql.
func (run *bulkRun) importOnce(ctx context.Context, p *process) (transfer, error) {
	if err := execute(ctx, run.conn, "TRUNCATE "+run.table+", stock."+run.table, "CHECKPOINT"); err != nil {
		return transfer{}, err
	}
	if p == nil {
		return run.copyIn(ctx)
	}
	t, err := upload(ctx, p, run.path+"/import", run.corpus.body)
	if err != nil || t.status != http.StatusOK {
		return t, err
	}
	return t, run.requireImported(ctx, p.name)
}

// copyIn imports with psql.
func (run *bulkRun) copyIn(ctx context.Context) (transfer, error) {
	command := fmt.Sprintf(`\copy %s (%s, document) from '%s'`, run.table, run.columns, run.corpus.copy)
	duration, err := run.psql(ctx, run.conn, command)
	return transfer{duration: duration}, err
}

// requireImported returns an error if a server has not stored all documents of an import.
func (run *bulkRun) requireImported(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, run.conn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	table := run.table
	if name == stock {
		table = "stock." + table
	}
	var n int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		return err
	}
	if n != run.n {
		return fmt.Errorf("%s imported %d of %d documents", name, n, run.n)
	}
	return nil
}

// fillTables fills the tables for exports.
func (run *bulkRun) fillTables(ctx context.Context) error {
	if err := execute(ctx, run.conn, "TRUNCATE "+run.table+", stock."+run.table); err != nil {
		return err
	}
	if _, err := run.copyIn(ctx); err != nil {
		return err
	}
	statements := []string{"VACUUM ANALYZE " + run.table, "CHECKPOINT"}
	if slices.Contains(run.contenders(), stock) {
		fillStock := fmt.Sprintf(`INSERT INTO stock.%s (%s, document)
			SELECT %[2]s, document::jsonb FROM %[1]s ORDER BY position`, run.table, run.columns)
		statements = append([]string{fillStock, "VACUUM ANALYZE stock." + run.table}, statements...)
	}
	return execute(ctx, run.conn, statements...)
}

// exportOnce exports all documents. p is nil for psql.
func (run *bulkRun) exportOnce(ctx context.Context, p *process) (transfer, error) {
	return run.downloadOnce(ctx, p, run.path, "")
}

// gatewayListOnce requests the list for gateways. p is nil for psql. The first request, in which gatehouse checks the
// documents, is not measured: this happens once for each document.
func (run *bulkRun) gatewayListOnce(ctx context.Context, p *process) (transfer, error) {
	if p != nil && !run.checked {
		run.checked = true
		if t, err := download(ctx, p, run.gatewayPath); err != nil {
			return t, err
		}
	}
	return run.downloadOnce(ctx, p, run.gatewayPath, run.gatewayFilter)
}

// downloadOnce requests a list of documents. p is nil for psql, which selects those of the filter.
func (run *bulkRun) downloadOnce(ctx context.Context, p *process, path, filter string) (transfer, error) {
	if p == nil {
		command := fmt.Sprintf(`\copy (SELECT document FROM %s %s ORDER BY position) to '/dev/null'`, run.table, filter)
		duration, err := run.psql(ctx, run.conn, command)
		return transfer{duration: duration}, err
	}
	t, err := download(ctx, p, path)
	if err == nil && t.status == http.StatusOK && t.bytes < int64(run.n)*smallest {
		err = fmt.Errorf("%s sent %d bytes for %d documents", p.name, t.bytes, run.n)
	}
	return t, err
}

// measureLists measures the list of all organisations.
func (b *bench) measureLists(ctx context.Context) (err error) {
	b.progressf("lists: filling a database with %d organisations", b.organisations)
	conn, err := b.database(ctx, "lists")
	if err != nil {
		return err
	}
	if err := fill(ctx, conn, b.organisations, 1); err != nil {
		return err
	}
	running, err := b.startAll(ctx, conn, contenders()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.stop(ctx), b.drop(ctx, "lists")) }()
	for round := range b.rounds {
		b.progressf("lists: round %d of %d", round+1, b.rounds)
		if err := b.listRound(ctx, conn, running); err != nil {
			return err
		}
	}
	return nil
}

// listRound measures each contender, and psql, once.
func (b *bench) listRound(ctx context.Context, conn string, running servers) error {
	copyDuration, err := b.psql(ctx, conn, `\copy (SELECT document FROM organisations ORDER BY position) to '/dev/null'`)
	if err != nil {
		return err
	}
	for _, name := range shuffled(contenders()) {
		t, err := download(ctx, running[name], "/admin/organisations")
		if err != nil {
			return fmt.Errorf("list of organisations: %s: %w", name, err)
		}
		base := resultPrefix(name) + "list"
		b.report.add(base+"_first_byte_ms", "ms", float64(t.firstByte)/float64(time.Millisecond))
		b.report.add(base+"_s", "s", t.duration.Seconds())
		b.report.ratio(base+"_vs_copy", t.duration.Seconds(), copyDuration.Seconds())
		b.report.add(base+"_peak_rss_mib", aboveIdle, float64(t.peakMemory)/mebibyte)
	}
	return nil
}
