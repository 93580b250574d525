// The browser's story (console.test.mjs) on the real thing: `todoke demo` in a temporary directory, on a free port, with its playground.
//   SHOTS_DIR=...   where screenshots go; none are kept without it
// The demo's receivers have fixed ports: while another demo runs on this machine, this one waits for it to end.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = process.env.TODOKE ?? fileURLToPath(new URL('../../build/todoke', import.meta.url));
if (!existsSync(program)) throw new Error(`${program} is missing: ./run build makes it`);

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

/** Start it; resolves with the process and the URL that it prints, or with what it said when it ended first. */
async function startDemo(folder) {
  const demo = spawn(program, ['demo', '--lang', 'ja', '--dir', path.join(folder, 'demo'), '--http', `127.0.0.1:${await freePort()}`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  return new Promise((resolve) => {
    const hear = (bytes) => {
      said += bytes;
      const url = said.match(/http:\/\/\S+#token=\S+/);
      if (url) resolve({ demo, url: url[0] });
    };
    demo.stdout.setEncoding('utf8').on('data', hear);
    demo.stderr.setEncoding('utf8').on('data', hear);
    demo.once('error', (error) => resolve({ said: String(error) }));
    demo.once('close', () => resolve({ said }));
  });
}

const folder = mkdtempSync(path.join(tmpdir(), 'todoke-browser.'));
let demo, url, said;
for (const end = Date.now() + 300_000; ; ) {
  ({ demo, url, said } = await startDemo(folder));
  if (url || Date.now() > end || !/todoke demo: .*\bin use/.test(said)) break;
  await new Promise((resolve) => setTimeout(resolve, 2000));
}
const endDemo = () => demo && demo.exitCode === null && demo.kill('SIGKILL');
process.once('exit', () => {
  endDemo();
  rmSync(folder, { recursive: true, force: true });
});
if (!url) throw new Error(`todoke demo said no URL:\n${said}`);

after(async () => {
  if (demo.exitCode !== null) return;
  const ended = new Promise((resolve) => demo.once('close', resolve));
  demo.kill('SIGTERM');
  const late = setTimeout(endDemo, 90_000);
  await ended;
  clearTimeout(late);
});
process.env.TODOKE_URL = url;
await import('./console.test.mjs');
