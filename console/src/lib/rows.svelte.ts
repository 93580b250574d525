// A list read page by page. The last question asked wins: an answer that comes late to an older one is dropped.
import { get, Problem } from './api';
import type { Page } from './contract';

const LIMIT = 50;

export class Rows<T, Extra = object> {
  items = $state.raw<T[]>([]);
  extra = $state.raw<(Page<T> & Extra) | null>(null);
  problem = $state.raw<Problem | null>(null);
  loading = $state(true);
  #path = '';
  #asked = 0;

  get next(): string | null {
    return this.extra?.next_cursor ?? null;
  }

  /** Read the first page of `path` (which may carry a query). */
  async load(path: string): Promise<void> {
    if (path !== this.#path) this.loading = true;
    this.#path = path;
    await this.#ask('', (answer) => answer.items);
  }

  async more(): Promise<void> {
    if (this.next) await this.#ask(this.next, (answer) => [...this.items, ...answer.items]);
  }

  async #ask(cursor: string, join: (answer: Page<T> & Extra) => T[]): Promise<void> {
    const mine = ++this.#asked;
    const path = `${this.#path}${this.#path.includes('?') ? '&' : '?'}limit=${LIMIT}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`;
    try {
      const answer = await get<Page<T> & Extra>(path);
      if (mine !== this.#asked) return;
      this.items = join(answer);
      this.extra = answer;
      this.problem = null;
    } catch (e) {
      if (mine !== this.#asked) return;
      this.problem = e as Problem;
    }
    this.loading = false;
  }
}
