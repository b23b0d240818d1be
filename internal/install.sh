#!/bin/sh
# install.sh PROGRAM... makes sure that these programs are on the machine:
#
#   postgres      Postgres's binaries, for the private Postgres of the server
#   redis-server  for the tests with gateways
#   curl          for the tests that run the commands of the README
#
# Does nothing where they are. On Debian and Ubuntu it installs them, and
# nothing of theirs is started, neither now nor when the machine starts: no
# cluster of the system on port 5432, no Redis on 6379. Elsewhere it says what
# to install.
set -eu

has() {
	case $1 in
	postgres) has_postgres ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# Where the server looks, too.
has_postgres() {
	if [ -n "${GATEHOUSE_POSTGRES_BIN:-}" ]; then
		return 0 # the server says so itself if it is wrong
	fi
	if command -v initdb >/dev/null; then
		return 0
	fi
	for initdb in \
		/usr/lib/postgresql/*/bin/initdb \
		/usr/pgsql-*/bin/initdb \
		/opt/homebrew/opt/postgresql*/bin/initdb \
		/usr/local/opt/postgresql*/bin/initdb \
		/home/linuxbrew/.linuxbrew/opt/postgresql*/bin/initdb; do
		if [ -x "$initdb" ]; then
			return 0
		fi
	done
	return 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# env, because sudo does not pass variables on.
apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

install_on_debian() {
	echo "Installing what is missing: $*."
	apt_get update
	for program; do
		case $program in
		postgres)
			no_system_cluster
			install_package postgresql
			;;
		redis-server)
			without_services install_package redis-server
			not_at_boot redis-server
			;;
		*) install_package "$program" ;;
		esac
	done
}

install_package() {
	apt_get install -y --no-install-recommends "$1"
}

# A cluster is made unless the configuration of pg_createcluster says otherwise.
# Its folder of additions leaves the file of the package alone; a file that was
# there before, without that folder, gets the line at its end.
no_system_cluster() {
	main=/etc/postgresql-common/createcluster.conf
	file=/etc/postgresql-common/createcluster.d/gatehouse.conf
	if [ -e "$main" ] && ! grep -q "^include_dir.*createcluster\.d" "$main"; then
		file=$main
	fi
	if grep -qs '^create_main_cluster' "$file"; then
		return 0
	fi
	as_root mkdir -p "$(dirname "$file")"
	printf '%s\n' \
		'# Written by gatehouse, which needs the binaries and runs a Postgres of its own.' \
		'create_main_cluster = false' | as_root tee -a "$file" >/dev/null
}

# without_services COMMAND... keeps packages from starting what they bring. A
# machine with a policy of its own keeps it.
without_services() (
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'as_root rm "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod +x "$policy"
	fi
	"$@"
)

not_at_boot() {
	if command -v systemctl >/dev/null; then
		as_root systemctl disable --quiet "$1"
	fi
}

missing=
for program; do
	if ! has "$program"; then
		missing="$missing $program"
	fi
done
if [ -z "$missing" ]; then
	exit 0
fi
if command -v apt-get >/dev/null; then
	install_on_debian $missing
	exit 0
fi
echo "Missing:$missing. Install them (macOS: brew install postgresql@17 redis; Fedora: dnf install postgresql-server redis curl). GATEHOUSE_POSTGRES_BIN may name a folder with Postgres's binaries (initdb, postgres)." >&2
exit 1
