#!/bin/sh
# update.sh makes ../codemirror.js of the packages that package-lock.json names, which are published in some twenty
# modules each: one file is one request. For another version: npm install --ignore-scripts --save-exact
# @codemirror/PACKAGE@VERSION here, then run this. The same packages make the same file, byte for byte.
#
# One condition is changed: style-mod adds its rules as a style sheet that scripts have made, as it does in a shadow tree,
# and not as an element <style>, which the page's Content-Security-Policy forbids.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
grep -q '!root.head && root.adoptedStyleSheets' node_modules/style-mod/src/style-mod.js
sed -i.bak 's/!root.head && root.adoptedStyleSheets/root.adoptedStyleSheets/' node_modules/style-mod/src/style-mod.js
node_modules/.bin/esbuild entry.js --bundle --minify --format=esm --legal-comments=none --log-level=warning \
	--outfile=../codemirror.js
chmod 644 ../codemirror.js
cp node_modules/@codemirror/view/LICENSE ../LICENSE.codemirror
version=$(sed -n 's/^ *"version": "\(.*\)",$/\1/p' node_modules/@codemirror/view/package.json)
sed -i.bak '/^codemirror\.js /d' ../vendored.txt
printf 'codemirror.js codemirror %s MIT %s\n' "$version" "$(sha256sum ../codemirror.js | cut -d' ' -f1)" >>../vendored.txt
rm ../vendored.txt.bak
