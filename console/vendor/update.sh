#!/bin/sh
# update.sh replaces the libraries of the console by those of the versions that ../package-lock.json names. For another
# version: npm install --ignore-scripts --save-exact preact@VERSION in .., then run this.
#
# The modules are copied as the packages have them, with two changes: an import of "preact" becomes one of "./preact.js",
# because an import map would be an inline script, which the page's Content-Security-Policy forbids; and the comments
# that name source maps are left out.
set -eu
cd "$(dirname "$0")"
npm ci --prefix .. --ignore-scripts --no-audit --no-fund
modules=../node_modules

# copy PACKAGE SOURCE FILE
copy() {
	sed -e 's/from *"preact"/from"\.\/preact.js"/g' -e '/^\/\/# sourceMappingURL=/d' "$modules/$1/$2" >"$3"
	cp "$modules/$1/LICENSE" "LICENSE.$1"
	version=$(sed -n 's/^ *"version": "\(.*\)",$/\1/p' "$modules/$1/package.json")
	licence=$(sed -n 's/^ *"license": "\(.*\)",$/\1/p' "$modules/$1/package.json")
	printf '%s %s %s %s %s\n' "$3" "$1" "$version" "$licence" "$(sha256sum "$3" | cut -d' ' -f1)" >>vendored.txt
}

echo '# file, package, version, licence, SHA-256; written by update.sh' >vendored.txt
copy preact dist/preact.mjs preact.js
copy preact hooks/dist/hooks.mjs hooks.js
copy htm dist/htm.mjs htm.js
sh codemirror/update.sh
chmod 644 ./*.js LICENSE.* vendored.txt
