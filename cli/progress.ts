/** Between two lines of progress, ms: a terminal shows no more. */
const PROGRESS_MS = 100;

/** One line on stderr that is written over as heights go by, and cleared in the end. */
export function progressLine(visible: boolean): { show: (height: number, head: number) => void; clear: () => void } {
  let shown = 0;
  return {
    show: (height, head) => {
      const now = performance.now();
      if (!visible || now - shown < PROGRESS_MS) return;
      shown = now;
      process.stderr.write(`\r\u001b[2Kheight ${height} of ${head}`);
    },
    clear: () => {
      if (shown > 0) process.stderr.write("\r\u001b[2K");
    },
  };
}
