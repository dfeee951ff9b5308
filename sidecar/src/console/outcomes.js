// The ways a callback can end, in four classes: what an operator has to tell apart at a glance.

export const CLASSES = ['good', 'saved', 'rejected', 'seen'];

const GOOD = ['replied', 'acknowledged', 'joined'];
// Of the URL, not of a message; most are the sidecar's own looks.
const NO_MESSAGE = 'verified';

// The class of an outcome. What this version does not know is shown as a failure rather than hidden.
export function classOf(outcome) {
  if (GOOD.includes(outcome)) return 'good';
  if (outcome.startsWith('fallback_')) return 'saved';
  if (outcome.startsWith('rejected_')) return 'rejected';
  return 'seen';
}

// The minutes of an hour of `history`, oldest first: of one account, or of all of them when `only` is empty.
export function minutes(history, only) {
  const step = history?.step_s ?? 60;
  const from = history?.from ?? 0;
  const accounts = Object.entries(history?.accounts ?? {}).filter(([name]) => !only || name === only);
  const length = Math.max(0, ...accounts.map(([, account]) => account.slowest_ms?.length ?? 0)) || 60;
  const row = Array.from({ length }, (_, i) => ({
    at: from + i * step, step, good: 0, saved: 0, rejected: 0, seen: 0, total: 0, slowest: 0, outcomes: {},
  }));
  for (const [, account] of accounts) {
    for (const [outcome, counts] of Object.entries(account.outcomes ?? {})) {
      if (outcome === NO_MESSAGE) continue;
      counts.slice(0, length).forEach((n, i) => {
        if (!n) return;
        row[i][classOf(outcome)] += n;
        row[i].total += n;
        row[i].outcomes[outcome] = (row[i].outcomes[outcome] ?? 0) + n;
      });
    }
    (account.slowest_ms ?? []).forEach((ms, i) => { row[i].slowest = Math.max(row[i].slowest, ms); });
  }
  return row;
}

// All of it together.
export function sum(row) {
  const all = { good: 0, saved: 0, rejected: 0, seen: 0, total: 0, slowest: 0 };
  for (const minute of row) {
    for (const name of [...CLASSES, 'total']) all[name] += minute[name];
    all.slowest = Math.max(all.slowest, minute.slowest);
  }
  // Rejected ones never were the app's to answer.
  const due = all.total - all.rejected;
  all.answered = due ? all.good / due : null;
  return all;
}
