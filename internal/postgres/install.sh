#!/bin/sh
# Makes sure that Postgres's binaries are on the machine, for the private
# Postgres of the server. Does nothing where they are. On Debian and Ubuntu it
# installs them, without the cluster that the package would make and start on
# port 5432. Elsewhere it says what to install.
#
# For trying it out: POSTGRES_ROOT is put before every absolute path, and
# POSTGRES_APT stands in for apt-get ("apt-get -s" only simulates).
set -eu

root=${POSTGRES_ROOT:-}
apt=${POSTGRES_APT:-apt-get}

found() {
	if [ -n "${GATEHOUSE_POSTGRES_BIN:-}" ]; then
		return 0 # the server says so itself if it is wrong
	fi
	if [ -z "$root" ] && command -v initdb >/dev/null; then
		return 0
	fi
	for initdb in \
		"$root"/usr/lib/postgresql/*/bin/initdb \
		"$root"/usr/pgsql-*/bin/initdb \
		"$root"/opt/homebrew/opt/postgresql*/bin/initdb \
		"$root"/usr/local/opt/postgresql*/bin/initdb \
		"$root"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin/initdb; do
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

# A cluster is made unless the configuration of pg_createcluster says otherwise.
# Its folder of additions leaves the file of the package alone; a file that was
# there before, without that folder, gets the line at its end.
no_system_cluster() {
	main=$root/etc/postgresql-common/createcluster.conf
	file=$root/etc/postgresql-common/createcluster.d/gatehouse.conf
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

install_on_debian() {
	echo 'Installing Postgres (the binaries only, no cluster of the system).'
	no_system_cluster
	# env, because sudo does not pass variables on.
	as_root env DEBIAN_FRONTEND=noninteractive $apt update
	as_root env DEBIAN_FRONTEND=noninteractive $apt install -y --no-install-recommends postgresql
}

if found; then
	exit 0
fi
if command -v apt-get >/dev/null; then
	install_on_debian
	exit 0
fi
echo "Postgres's binaries (initdb, postgres) are missing. Install them (macOS: brew install postgresql@17; Fedora: dnf install postgresql-server), or set GATEHOUSE_POSTGRES_BIN to their folder." >&2
exit 1
