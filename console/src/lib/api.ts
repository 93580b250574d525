// Speaking with the server. Every failure becomes a Problem; "sign in first" is told to the session, whoever asked.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly field = '',
  ) {
    super(detail);
  }
}

let onSignedOut = () => {};
export function whenSignedOut(call: () => void): void {
  onSignedOut = call;
}

/** Somebody who asked by himself was told 401. */
export function signedOut(): void {
  onSignedOut();
}

async function problemOf(answer: Response): Promise<Problem> {
  try {
    const body = await answer.json();
    return new Problem(answer.status, String(body.detail || body.title || answer.statusText), String(body.field ?? ''));
  } catch {
    return new Problem(answer.status, answer.statusText);
  }
}

async function call(method: string, path: string, body?: unknown): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
    });
  } catch {
    throw new Problem(0, '');
  }
  if (answer.ok) return answer;
  const wrongToken = method === 'POST' && path === '/session';
  if (answer.status === 401 && !wrongToken) onSignedOut();
  throw await problemOf(answer);
}

export async function get<T>(path: string): Promise<T> {
  return (await call('GET', path)).json();
}

export async function getText(path: string): Promise<string> {
  return (await call('GET', path)).text();
}

/** undefined where the answer has no body (204). */
export async function post<T>(path: string, body?: unknown): Promise<T> {
  const answer = await call('POST', path, body);
  return answer.status === 204 ? (undefined as T) : answer.json();
}

export async function patch<T>(path: string, body: unknown): Promise<T> {
  return (await call('PATCH', path, body)).json();
}

export async function remove(path: string): Promise<void> {
  await call('DELETE', path);
}
