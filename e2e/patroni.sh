#!/usr/bin/env bash
# Runs gatehouse on a cluster of two Postgres with Patroni and etcd, and fails over several times while a client writes:
# planned (a switchover), and by killing Patroni and Postgres of the leader. Prints how long writes took to succeed after
# each promotion, and whether each acknowledged write is there at the end.
#
#   e2e/patroni.sh [FAILOVERS]
#
# Runs as root on Debian or Ubuntu with Go; installs what else it needs. It is not a part of CI, because it installs
# services; everything that it starts listens on loopback, and ends with it.
set -euo pipefail
cd "$(dirname "$0")/.."

failovers=${1:-6}
readonly failovers first_port=21800 admin_secret=the-admin-secret-of-patroni password=the-password-of-patroni
readonly etcd_port=$first_port peer_port=$((first_port + 1)) gatehouse_port=$((first_port + 2))
readonly postgres_ports=($((first_port + 3)) $((first_port + 4))) patroni_ports=($((first_port + 5)) $((first_port + 6)))
# The shortest time that Patroni allows until a leader that is gone is replaced.
readonly ttl=20

dir=$(mktemp -d)
chmod 711 "$dir"
pids=()

# finish ends what was started. Patroni stops its Postgres.
finish() {
	local pid
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	wait
	if [ "$1" -eq 0 ]; then
		rm -r "$dir"
	else
		echo "FAILED: the logs are in $dir" >&2
	fi
}
trap 'finish $?' EXIT

install_packages() {
	local package missing=()
	internal/install.sh postgres curl jq
	for package in etcd-server patroni python3-etcd; do
		if [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>&1)" != installed ]; then
			missing+=("$package")
		fi
	done
	if [ ${#missing[@]} -gt 0 ]; then
		apt-get update -q
		DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
	fi
}

# bin is the directory of the newest Postgres.
bin() { printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }

# as_postgres COMMAND... runs a command as the account of Postgres, which dies with this script.
as_postgres() { exec setpriv --reuid=postgres --regid=postgres --clear-groups --pdeathsig=TERM -- "$@"; }

sql() { # NODE QUERY
	PGPASSWORD=$password PGCONNECT_TIMEOUT=2 "$(bin)/psql" -qAtX -h 127.0.0.1 -p "${postgres_ports[$1]}" -U postgres \
		-d postgres -c "$2" 2>/dev/null
}

accepts_writes() { [ "$(sql "$1" 'SELECT NOT pg_is_in_recovery()')" = t ]; }

# wait_until SECONDS COMMAND... waits until the command succeeds.
wait_until() {
	local deadline=$((SECONDS + $1))
	until "${@:2}"; do
		if [ $SECONDS -ge $deadline ]; then
			echo "Not within $1 s: ${*:2}" >&2
			return 1
		fi
		sleep 0.05
	done
}

start_etcd() {
	(as_postgres etcd --data-dir "$dir/postgres/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
		--advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
		--initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
		--initial-cluster "default=http://127.0.0.1:$peer_port") >"$dir/etcd.log" 2>&1 &
	pids+=($!)
	wait_until 60 curl -sf "http://127.0.0.1:$etcd_port/health" -o "$dir/health"
}

configure_patroni() { # NODE
	cat >"$dir/patroni-$1.yml" <<-YAML
		scope: gatehouse
		name: node$1
		restapi: {listen: "127.0.0.1:${patroni_ports[$1]}", connect_address: "127.0.0.1:${patroni_ports[$1]}"}
		etcd3: {hosts: "127.0.0.1:$etcd_port"}
		bootstrap:
		  dcs:
		    ttl: $ttl
		    loop_wait: 1
		    retry_timeout: 3
		    synchronous_mode: true
		    postgresql: {use_pg_rewind: true, parameters: {wal_keep_size: 256MB}}
		  initdb: [{encoding: UTF8}, {locale: C}, data-checksums]
		postgresql:
		  listen: "127.0.0.1:${postgres_ports[$1]}"
		  connect_address: "127.0.0.1:${postgres_ports[$1]}"
		  data_dir: $dir/postgres/node$1
		  bin_dir: $(bin)
		  pgpass: $dir/postgres/pgpass$1
		  authentication:
		    superuser: {username: postgres, password: $password}
		    replication: {username: replicator, password: $password}
		    rewind: {username: postgres, password: $password}
		  parameters: {unix_socket_directories: $dir/postgres, fsync: "off"}
		  pg_hba: ["host all all 127.0.0.1/32 md5", "host replication all 127.0.0.1/32 md5", "local all all md5"]
	YAML
	chmod 644 "$dir/patroni-$1.yml"
}

patronis=()

start_patroni() { # NODE
	(as_postgres patroni "$dir/patroni-$1.yml") >>"$dir/patroni-$1.log" 2>&1 &
	patronis[$1]=$!
	pids+=($!)
}

# streams NODE reports whether the node is the leader and has a synchronous standby.
streams() { [ "$(sql "$1" "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")" = 1 ]; }

leader() {
	local node
	for node in 0 1; do
		if accepts_writes $node; then
			echo $node
			return
		fi
	done
}

has_leader() { [ -n "$(leader)" ]; }

start_gatehouse() {
	go build -buildvcs=false -o "$dir/gatehouse" .
	local hosts=127.0.0.1:${postgres_ports[0]},127.0.0.1:${postgres_ports[1]}
	env -i PATH="$PATH" GATEHOUSE_LISTEN="127.0.0.1:$gatehouse_port" \
		DATABASE_URL="postgres://postgres:$password@$hosts/postgres?target_session_attrs=read-write" \
		TYK_DB_ADMINSECRET=$admin_secret TYK_DB_NODESECRET=the-node-secret-of-patroni \
		"$dir/gatehouse" serve >"$dir/gatehouse.log" 2>&1 &
	pids+=($!)
	wait_until 60 curl -sf "http://127.0.0.1:$gatehouse_port/ready" -o "$dir/ready"
}

# write_users creates users one after another until the file stop exists. acknowledged has the time and the ID of each
# that the server has acknowledged.
write_users() {
	local n=0 status
	until [ -e "$dir/stop" ]; do
		n=$((n + 1))
		status=$(curl -s -m 4 -o "$dir/user" -w '%{http_code}' -H "Admin-Auth: $admin_secret" \
			-d '{"first_name":"Ines","email_address":"ines'$n'@patroni.example"}' \
			"http://127.0.0.1:$gatehouse_port/admin/users" || true)
		if [ "$status" = 200 ]; then
			echo "$(date +%s.%N) $(jq -r .Meta.id "$dir/user")" >>"$dir/acknowledged"
		else
			echo "$(date +%s.%N) $status" >>"$dir/failed"
			sleep 0.05
		fi
	done
}

# fail_over MANNER makes the standby the leader, and prints how long the client waited for it.
fail_over() {
	local old new killed promoted acknowledged
	old=$(leader)
	new=$((1 - old))
	wait_until 120 streams "$old"
	killed=$(date +%s.%N)
	case $1 in
	switchover)
		curl -sf -m 60 -d '{"leader":"node'"$old"'","candidate":"node'$new'"}' \
			"http://127.0.0.1:${patroni_ports[$old]}/switchover" -o "$dir/switchover" &
		;;
	crash)
		kill -KILL "${patronis[$old]}"
		kill -KILL "$(head -n 1 "$dir/postgres/node$old/postmaster.pid")"
		wait "${patronis[$old]}" 2>/dev/null || true # Bash would report its end
		;;
	esac
	wait_until 120 accepts_writes $new
	promoted=$(date +%s.%N)
	acknowledged=
	until [ -n "$acknowledged" ]; do
		acknowledged=$(awk -v at="$promoted" '$1 > at {print $1; exit}' "$dir/acknowledged")
		sleep 0.05
	done
	awk -v manner="$1" -v killed="$killed" -v promoted="$promoted" -v acknowledged="$acknowledged" 'BEGIN {
		printf "%-10s promoted after %5.1f s, the next write is acknowledged %.2f s later\n",
			manner, promoted - killed, acknowledged - promoted }'
	if [ "$1" = crash ]; then
		start_patroni "$old"
	fi
	wait_until 120 streams $new
}

# requires_all checks that each acknowledged user exists.
requires_all() {
	curl -sf -H "Admin-Auth: $admin_secret" "http://127.0.0.1:$gatehouse_port/admin/users" | jq -r '.users[].id' |
		sort >"$dir/stored"
	cut -d' ' -f2 "$dir/acknowledged" | sort >"$dir/promised"
	local lost
	lost=$(comm -23 "$dir/promised" "$dir/stored" | wc -l)
	echo "$(wc -l <"$dir/promised") writes acknowledged, $lost of them lost, $(wc -l <"$dir/failed") failed and repeated"
	[ "$lost" = 0 ]
}

install_packages
mkdir "$dir/postgres"
chown postgres: "$dir/postgres"
touch "$dir/acknowledged" "$dir/failed"
start_etcd
configure_patroni 0
configure_patroni 1
start_patroni 0
wait_until 120 has_leader
start_patroni 1
wait_until 120 streams 0
start_gatehouse
write_users &
writer=$!
for ((n = 0; n < failovers; n++)); do
	sleep 2
	if ((n % 2 == 0)); then
		fail_over switchover
	else
		fail_over crash
	fi
done
touch "$dir/stop"
wait $writer
requires_all
