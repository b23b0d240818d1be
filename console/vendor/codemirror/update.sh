#!/bin/sh
# update.sh makes ../codemirror.js of the packages that package-lock.json names, which are published in some twenty
# modules each: one file is one request. For another version: npm install --ignore-scripts --save-exact
# @codemirror/PACKAGE@VERSION here, then run this. The same packages make the same file, byte for byte.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
node_modules/.bin/esbuild entry.js --bundle --minify --format=esm --legal-comments=none --log-level=warning \
	--outfile=../codemirror.js
chmod 644 ../codemirror.js
cp node_modules/@codemirror/view/LICENSE ../LICENSE.codemirror
{
	echo '# file and SHA-256, and the packages in it; written by update.sh'
	echo "codemirror.js $(sha256sum ../codemirror.js | cut -d' ' -f1)"
	for package in node_modules/@codemirror/* node_modules/@lezer/* node_modules/@marijn/* node_modules/style-mod \
		node_modules/w3c-keyname node_modules/crelt; do
		node -p 'const p = JSON.parse(require("fs").readFileSync(process.argv[1])); [p.name, p.version, p.license].join(" ")' \
			"$package/package.json"
	done
} >vendored.txt
