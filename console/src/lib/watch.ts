// Ask again and again while somebody looks: never two questions at once, none while the tab is hidden. Returns how to stop.
export function watch(ask: () => Promise<number>): () => void {
  let timer = 0;
  let stopped = false;
  const round = async () => {
    const again = document.hidden ? 1000 : await ask().catch(() => 3000);
    if (!stopped) timer = window.setTimeout(round, again);
  };
  void round();
  return () => {
    stopped = true;
    window.clearTimeout(timer);
  };
}
