#!/bin/sh
# After the installation, and after an upgrade, of the deb or the rpm.
set -e

if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers gatehouse.conf
elif ! getent passwd gatehouse >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/gatehouse --shell /usr/sbin/nologin gatehouse
fi
chgrp gatehouse /etc/gatehouse /etc/gatehouse/gatehouse.env

# Nothing is started that the administrator has not configured: a server that runs gets the new program.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart gatehouse.service
fi
