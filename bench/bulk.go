package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// bulkRun is the imports and exports of so many documents of a kind, in a database of their own.
type bulkRun struct {
	*bench
	kind
	n      int
	conn   string
	corpus corpus
	// checked: gatehouse knows of each document whether a gateway can decode it.
	checked bool
	// refused are the servers that would not take the request.
	refused map[string]bool
}

// bulk measures imports and exports.
func (b *bench) bulk(ctx context.Context) error {
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
		b.nameSizes(part.kind, part.sizes)
	}
	return b.drop(ctx, "bulk")
}

// nameSizes gives the results of one size the name without a size: times those of the largest size that every contender
// is given, memory that of the largest of all.
func (b *bench) nameSizes(k kind, sizes []int) {
	for _, n := range sizes {
		for _, way := range []string{"import", "export", "node_list"} {
			for _, name := range append(slices.Clone(k.servers), copying) {
				of := prefix(name) + k.prefix + way
				b.report.alias(of+"_peak_rss_mib", sized(of+"_peak_rss_mib", n))
				if n <= maxMaterialised {
					b.report.alias(of+"_s", sized(of+"_s", n))
					b.report.alias(of+"_vs_copy", sized(of+"_vs_copy", n))
				}
			}
		}
	}
}

func sized(name string, n int) string { return name + "_" + strconv.Itoa(n) }

func (run *bulkRun) measure(ctx context.Context) (err error) {
	run.say("%s: writing %d documents", run.table, run.n)
	if run.corpus, err = run.write(run.dir, run.n); err != nil {
		return err
	}
	defer run.corpus.remove()
	if info, err := os.Stat(run.corpus.body); err == nil {
		run.report.note("%d %s are %.1f MB", run.n, run.table, float64(info.Size())/1e6)
	}
	if err := run.alternate(ctx, "import", run.contenders(), run.importOnce); err != nil {
		return err
	}
	if err := run.stockUp(ctx); err != nil {
		return err
	}
	if err := run.alternate(ctx, "export", run.contenders(), run.exportOnce); err != nil {
		return err
	}
	return run.alternate(ctx, "node_list", []string{gatehouse}, run.nodeListOnce) // the others know no gateways
}

// contenders are the servers that are given so many documents.
func (run *bulkRun) contenders() []string {
	return slices.DeleteFunc(slices.Clone(run.servers), func(name string) bool {
		return run.refused[name] || run.n > maxMaterialised && (name == stock || name == generated)
	})
}

// alternate has each of the servers do it once a round, and psql. The servers are fresh, so that what they hold idle is
// known.
func (run *bulkRun) alternate(ctx context.Context, way string, names []string,
	once func(context.Context, *process) (transfer, error),
) (err error) {
	running, err := run.startAll(ctx, run.conn, names...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.stop(ctx)) }()
	for round := range run.rounds {
		run.say("%s of %d %s: round %d of %d", way, run.n, run.table, round+1, run.rounds)
		seen := map[string]transfer{}
		for _, name := range shuffled(append(slices.Clone(names), copying)) {
			if run.refused[name] {
				continue
			}
			t, err := once(ctx, running[name]) // no process for \copy
			if err != nil {
				return fmt.Errorf("%s: %s: %w", way, name, err)
			}
			if name != copying && t.status != http.StatusOK {
				run.refused[name] = true
				run.report.note("%s refused the %s of %d %s: %d %s", name, way, run.n, run.table, t.status, t.body)
				continue
			}
			seen[name] = t
		}
		run.note(way, seen)
	}
	return nil
}

func (run *bulkRun) note(way string, seen map[string]transfer) {
	for _, name := range append(slices.Clone(run.servers), copying) {
		t, ok := seen[name]
		if !ok {
			continue
		}
		of := prefix(name) + run.prefix + way
		run.report.add(sized(of+"_s", run.n), "s", t.took.Seconds())
		if name == copying {
			continue
		}
		run.report.ratio(sized(of+"_vs_copy", run.n), t.took.Seconds(), seen[copying].took.Seconds())
		run.report.add(sized(of+"_peak_rss_mib", run.n), aboveIdle, float64(t.peakMemory)/mebibyte)
	}
}

// importOnce imports into empty tables, when Postgres has nothing else to write.
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
	return t, run.check(ctx, p.name)
}

func (run *bulkRun) copyIn(ctx context.Context) (transfer, error) {
	took, err := run.psql(ctx, run.conn, fmt.Sprintf(`\copy %s (%s, document) from '%s'`, run.table, run.columns, run.corpus.copy))
	return transfer{took: took}, err
}

// check makes sure that an import was one.
func (run *bulkRun) check(ctx context.Context, name string) error {
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
		return fmt.Errorf("%s imported %d of %d", name, n, run.n)
	}
	return nil
}

// stockUp fills the tables that are exported.
func (run *bulkRun) stockUp(ctx context.Context) error {
	if err := execute(ctx, run.conn, "TRUNCATE "+run.table+", stock."+run.table); err != nil {
		return err
	}
	if _, err := run.copyIn(ctx); err != nil {
		return err
	}
	statements := []string{"VACUUM ANALYZE " + run.table, "CHECKPOINT"}
	if slices.Contains(run.contenders(), stock) {
		move := fmt.Sprintf(`INSERT INTO stock.%s (%s, document) SELECT %[2]s, document::jsonb FROM %[1]s ORDER BY position`, run.table, run.columns)
		statements = append([]string{move, "VACUUM ANALYZE stock." + run.table}, statements...)
	}
	return execute(ctx, run.conn, statements...)
}

func (run *bulkRun) exportOnce(ctx context.Context, p *process) (transfer, error) {
	return run.sendOnce(ctx, p, run.path, "")
}

// nodeListOnce has a gateway's list sent. That documents which nobody has checked are checked first happens once in
// their life, and is not measured.
func (run *bulkRun) nodeListOnce(ctx context.Context, p *process) (transfer, error) {
	if p != nil && !run.checked {
		run.checked = true
		if t, err := download(ctx, p, run.nodePath); err != nil {
			return t, err
		}
	}
	return run.sendOnce(ctx, p, run.nodePath, run.nodeWhere)
}

func (run *bulkRun) sendOnce(ctx context.Context, p *process, path, where string) (transfer, error) {
	if p == nil {
		took, err := run.psql(ctx, run.conn, fmt.Sprintf(`\copy (SELECT document FROM %s %s ORDER BY position) to '/dev/null'`, run.table, where))
		return transfer{took: took}, err
	}
	t, err := download(ctx, p, path)
	if err == nil && t.status == http.StatusOK && t.bytes < int64(run.n)*smallest {
		err = fmt.Errorf("%s exported %d bytes for %d documents", p.name, t.bytes, run.n)
	}
	return t, err
}

// lists measures the list of many organisations.
func (b *bench) lists(ctx context.Context) (err error) {
	b.say("list: filling a database with %d organisations", b.organisations)
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
	for range b.rounds {
		if err := b.listRound(ctx, conn, running); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) listRound(ctx context.Context, conn string, running servers) error {
	limit, err := b.psql(ctx, conn, `\copy (SELECT document FROM organisations ORDER BY position) to '/dev/null'`)
	if err != nil {
		return err
	}
	for _, name := range shuffled(contenders()) {
		t, err := download(ctx, running[name], "/admin/organisations")
		if err != nil {
			return fmt.Errorf("list of organisations: %s: %w", name, err)
		}
		of := prefix(name) + "list"
		b.report.add(of+"_first_byte_ms", "ms", float64(t.firstByte)/float64(time.Millisecond))
		b.report.add(of+"_s", "s", t.took.Seconds())
		b.report.ratio(of+"_vs_copy", t.took.Seconds(), limit.Seconds())
		b.report.add(of+"_peak_rss_mib", aboveIdle, float64(t.peakMemory)/mebibyte)
	}
	return nil
}
