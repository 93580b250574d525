// A campaign's report, live. States: reading (first answer awaited) -> live (events come) -> ended (finished; asked again now and then, because error
// mail keeps coming for days); lost while the stream is down: the browser connects again by itself, and we ask whether the session still holds.
import { get, Problem } from './api';
import type { Report } from './contract';
import { watch } from './watch';

const LATE_NEWS_MS = 5000;
const PACE_POINTS = 240;

export class Live {
  report = $state.raw<Report | null>(null);
  problem = $state.raw<Problem | null>(null);
  lost = $state(false);
  pace = $state.raw<{ at: number; rate: number }[]>([]);
  #path: string;
  #source: EventSource | null = null;
  #stopWatch: (() => void) | null = null;
  #stopped = false;

  constructor(id: string) {
    this.#path = `/campaigns/${encodeURIComponent(id)}`;
  }

  /** Begin; the answer is how to end. */
  start(): () => void {
    void this.#begin();
    return () => {
      this.#stopped = true;
      this.#source?.close();
      this.#source = null;
      this.#stopWatch?.();
    };
  }

  async #begin(): Promise<void> {
    try {
      this.#take(await get<Report>(`${this.#path}/report`));
    } catch (e) {
      this.problem = e as Problem;
      return;
    }
    this.#listen();
  }

  #take(report: Report): void {
    this.report = report;
    this.problem = null;
    this.lost = false;
    if (report.campaign.state === 'sending')
      this.pace = [...this.pace.slice(1 - PACE_POINTS), { at: Date.now(), rate: report.campaign.rate_per_second }];
  }

  #listen(): void {
    if (this.#stopped) return;
    const source = new EventSource(`/api/v1${this.#path}/stream`);
    this.#source = source;
    source.addEventListener('progress', (event) => this.#take(JSON.parse((event as MessageEvent<string>).data)));
    source.addEventListener('end', () => {
      source.close();
      this.#stopWatch = watch(async () => {
        this.#take(await get<Report>(`${this.#path}/report`));
        if (!['finished', 'cancelled'].includes(this.report?.campaign.state ?? '')) {
          this.#stopWatch?.();
          this.#listen();
        }
        return LATE_NEWS_MS;
      });
    });
    source.addEventListener('error', () => {
      if (this.#source !== source) return;
      this.lost = true;
      get('/session').catch(() => {});
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#source === source && this.#listen(), 3000);
    });
  }
}
