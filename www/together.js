/** What pages do once for much that comes at once. */

/** What is done once a while after it was asked for, however often. @param {() => void} act @param {number} afterMs */
export function together(act, afterMs) {
  let isDue = false;
  return () => {
    if (!isDue) setTimeout(() => {
      isDue = false;
      act();
    }, afterMs);
    isDue = true;
  };
}
