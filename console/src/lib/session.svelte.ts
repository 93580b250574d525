// Who we speak with. starting -> in | out | down; in -> out at any 401; down -> tried again every 3 s.
import { get, post, Problem, remove, whenSignedOut } from './api';
import type { Session } from './contract';
import { followAddress } from './place.svelte';
import { token } from './route.js';

export const session = $state<{ phase: 'starting' | 'in' | 'out' | 'down'; info: Session | null }>({ phase: 'starting', info: null });

whenSignedOut(() => {
  session.phase = 'out';
});

async function enter(): Promise<void> {
  try {
    session.info = await get<Session>('/session');
    session.phase = 'in';
  } catch (e) {
    const signedOut = e instanceof Problem && e.status === 401;
    session.phase = signedOut ? 'out' : 'down';
    if (!signedOut) setTimeout(enter, 3000);
  }
}

/** Sign in with a token. Throws Problem 401 when it is the wrong one. */
export async function signIn(key: string): Promise<void> {
  await post('/session', { token: key });
  await enter();
}

export async function signOut(): Promise<void> {
  await remove('/session').catch(() => {});
  session.phase = 'out';
  session.info = null;
}

/** At the start and whenever the address changes: a token in it is used once and taken out of the address bar and the history. */
export async function start(): Promise<void> {
  const key = token(location.hash);
  if (!key) return enter();
  history.replaceState(null, '', '#/');
  followAddress();
  await signIn(key).catch(enter);
}
