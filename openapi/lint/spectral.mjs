// Lints documents as `spectral lint` does, but all in one process: loading Spectral and its rules takes
// as long as linting a document. The argument is the file with the rules. For each path that it reads
// from standard input, a line each, it prints the problems as a line of JSON.
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { getRuleset } from '@stoplight/spectral-cli/dist/services/linter/utils/getRuleset.js';
import core from '@stoplight/spectral-core';
import parsers from '@stoplight/spectral-parsers';
import references from '@stoplight/spectral-ref-resolver';

const ruleset = await getRuleset(process.argv[2]);
for await (const path of createInterface({ input: process.stdin })) {
  // With the resolver of another document, references are resolved in its results, which takes minutes.
  const spectral = new core.Spectral({ resolver: references.createHttpAndFileResolver() });
  spectral.setRuleset(ruleset);
  const document = new core.Document(await readFile(path, 'utf8'), parsers.Yaml, path);
  console.log(JSON.stringify(await spectral.run(document)));
}
