#!/bin/sh
# Measures gatehouse backup and restore against pg_dump -Fc and pg_restore with the same data, on a private Postgres, in
# a directory that is removed. It needs psql, pg_dump and GNU time, and 8 GB of space for 1,000,000 documents.
#
#     bench/backup/run.sh [DOCUMENTS] [ROUNDS]
set -eu

documents=${1:-1000000} rounds=${2:-3}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/gatehouse-bench-XXXXXX")
chmod 711 "$dir"
server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

(cd "$here/../.." && go build -o "$dir/gatehouse" .)
unset DATABASE_URL TYK_DB_STORAGE_MAIN_CONNECTIONSTRING
"$dir/gatehouse" serve --data-dir "$dir/data" --listen 127.0.0.1:0 >"$dir/serve.out" 2>"$dir/serve.log" &
server=$!
until grep -q '^admin secret' "$dir/serve.out"; do kill -0 "$server"; sleep 0.1; done

export PGHOST="$dir/data/postgres.socket" PGUSER=gatehouse PGDATABASE=postgres
[ -S "$PGHOST/.s.PGSQL.5432" ] || PGHOST=$(sed -n 5p "$dir/data/postgres/postmaster.pid")
sql() { psql -X -q -v ON_ERROR_STOP=1 -c "$1"; }
url() { echo "host=$PGHOST user=$PGUSER dbname=$1"; }

postmaster=$(head -n 1 "$dir/data/postgres/postmaster.pid")
# postgres_cpu prints the CPU time of Postgres and of the sessions that have ended, in clock ticks.
postgres_cpu() { sed 's/.*) //' "/proc/$postmaster/stat" | awk '{ print $12 + $13 + $14 + $15 }'; }

# measure NAME COMMAND… prints the time of a command, the CPU time that it and Postgres have used, and its peak memory.
measure() {
    name=$1
    shift
    sync
    sql CHECKPOINT
    before=$(postgres_cpu)
    command time -f '%e %U %S %M' -o "$dir/time" "$@" >"$dir/$name.out" 2>&1 || { cat "$dir/$name.out"; exit 1; }
    sleep 1 # until Postgres has noticed the end of the session
    awk -v name="$name" -v ticks="$(($(postgres_cpu) - before))" -v hz="$(getconf CLK_TCK)" \
        '{ printf "%-12s %7.1f s %7.1f s CPU %6.0f MiB", name, $1, $2 + $3 + ticks / hz, $4 / 1024 }' "$dir/time"
}

echo "filling the database with $documents documents"
psql -X -q -v ON_ERROR_STOP=1 -v documents="$documents" -v organisations=1000 -f "$here/fill.sql"
psql -X -A -t -c "SELECT 'data: ' || pg_size_pretty(pg_database_size('postgres'))"
for round in $(seq "$rounds"); do
    echo "round $round"
    measure backup "$dir/gatehouse" backup --database-url "$(url postgres)" "$dir/gatehouse.backup"
    echo "  $(wc -c <"$dir/gatehouse.backup") bytes"
    measure pg_dump pg_dump -Fc -f "$dir/pg.dump"
    echo "  $(wc -c <"$dir/pg.dump") bytes"
    sql 'CREATE DATABASE by_gatehouse' # restore makes its tables
    measure restore "$dir/gatehouse" restore --database-url "$(url by_gatehouse)" "$dir/gatehouse.backup"
    echo
    sql 'CREATE DATABASE by_pg_restore'
    measure pg_restore pg_restore --single-transaction -d by_pg_restore "$dir/pg.dump"
    echo
    for database in by_gatehouse by_pg_restore; do sql "DROP DATABASE $database"; done
done
