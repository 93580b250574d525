// Runs the browser's story (console.test.mjs). Without TODOKE_URL it runs on the console's mock server, which speaks data/api/openapi.yaml with moving data.
import { existsSync } from 'node:fs';
import { after } from 'node:test';

if (!process.env.TODOKE_URL) {
  if (!existsSync(new URL('../../console/dist/index.html', import.meta.url)))
    throw new Error('console/dist is missing: ./run build makes it');
  const { startMock } = await import('../../console/mock/server.mjs');
  const mock = await startMock({ seconds: 45 });
  process.env.TODOKE_URL = mock.url;
  after(() => mock.close());
}
await import('./console.test.mjs');
