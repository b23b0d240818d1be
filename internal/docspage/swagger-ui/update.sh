#!/bin/sh
# update.sh replaces the embedded files of Swagger UI by those of the version that package-lock.json names. For another
# version: npm install --ignore-scripts --save-exact swagger-ui-dist@VERSION, then run this.
#
# --ignore-scripts: the package @scarf/scarf, which swagger-ui-dist depends on, reports installations to its vendor. It is
# not a part of what is embedded.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
for file in swagger-ui-bundle.js swagger-ui.css; do
	gzip -9 -n <"node_modules/swagger-ui-dist/$file" >"$file.gz"
done
for file in LICENSE NOTICE swagger-ui-bundle.js.LICENSE.txt; do
	cp "node_modules/swagger-ui-dist/$file" .
done
chmod 644 LICENSE NOTICE ./*.txt ./*.gz
