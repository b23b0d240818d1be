#!/bin/sh
# After the removal. The data in /var/lib/gatehouse and the account that it belongs to stay.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
