#!/bin/sh
# Before the removal, and before an upgrade. deb: "remove" or "upgrade"; rpm: 0, or the number of versions that stay.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now gatehouse.service
	fi
	;;
esac
