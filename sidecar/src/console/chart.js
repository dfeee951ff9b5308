// The picture of an hour: callbacks of each minute by class, and below, on the same axis, the slowest answer of each.

import { svg } from './dom.js';
import { clock, count } from './format.js';
import { CLASSES } from './outcomes.js';
import { t } from './words.js';

const LEFT = 44;
const RIGHT = 8;
const BARS = { top: 10, height: 150 };
const TIMES = { top: 196, height: 96 };
const HEIGHT = 318;
// WeChat gives up after 5 s.
const LIMIT_MS = 5000;

// Draws `row` for a place `width` pixels wide. `active` is the minute that is looked at, or null; so is `deadline`, when the
// edge stops waiting for the app, in milliseconds, where there is not one for all.
export function draw(row, width, active, deadline) {
  const scale = { slot: (width - LEFT - RIGHT) / row.length, right: width - RIGHT };
  const x = (i) => LEFT + i * scale.slot;
  const parts = [];
  if (active !== null) {
    const height = TIMES.top + TIMES.height - BARS.top;
    parts.push(svg('rect.active', { x: x(active), y: BARS.top, width: scale.slot, height }));
  }
  parts.push(...bars(row, scale, x), ...times(row, scale, x, deadline), ...hours(row, x));
  return svg('svg', { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, 'aria-hidden': 'true' }, ...parts);
}

// Which minute lies under `x`.
export function minuteAt(x, width, length) {
  const i = Math.floor((x - LEFT) / ((width - LEFT - RIGHT) / length));
  return i >= 0 && i < length ? i : null;
}

// Where the middle of a minute lies.
export function middle(i, width, length) {
  return LEFT + (i + 0.5) * ((width - LEFT - RIGHT) / length);
}

function bars(row, scale, x) {
  const { top, height } = BARS;
  const highest = nice(Math.max(4, ...row.map((minute) => minute.total)));
  const parts = [];
  for (let i = 0; i <= 2; i += 1) {
    const y = top + height - (height * i) / 2;
    parts.push(line(y, scale.right, i ? 'grid' : 'axis'), label(y, count((highest * i) / 2)));
  }
  const gap = scale.slot > 6 ? 2 : 1;
  row.forEach((minute, i) => {
    let y = top + height;
    for (const name of CLASSES) {
      if (!minute[name]) continue;
      // One callback among thousands is still to be seen.
      const tall = Math.max(2, (height * minute[name]) / highest);
      y -= tall;
      const running = i === row.length - 1 ? '.running' : '';
      parts.push(svg(`rect.${name}${running}`, { x: x(i) + gap / 2, y, width: scale.slot - gap, height: tall }));
    }
  });
  return parts;
}

function times(row, scale, x, deadline) {
  const { top, height } = TIMES;
  const highest = Math.max(6000, ...row.map((minute) => minute.slowest * 1.1));
  const y = (ms) => top + height - (height * ms) / highest;
  const parts = [
    svg('text.title', { x: LEFT, y: top - 10 }, t('slowest')),
    line(y(0), scale.right, 'axis'), label(y(0), '0 s'),
    line(y(LIMIT_MS), scale.right, 'limit'),
    label(y(LIMIT_MS), '5 s'),
    svg('text.on-line', { x: scale.right, y: y(LIMIT_MS) - 4, 'text-anchor': 'end' }, t('limit')),
  ];
  if (deadline !== null) {
    parts.push(line(y(deadline), scale.right, 'deadline'),
      svg('text.on-line', { x: scale.right, y: y(deadline) + 12, 'text-anchor': 'end' }, t('deadline', deadline / 1000)));
  }
  const gap = scale.slot > 6 ? 2 : 1;
  row.forEach((minute, i) => {
    if (!minute.total && !minute.slowest) return;
    const tone = minute.slowest >= LIMIT_MS ? 'seen' : minute.slowest >= (deadline ?? LIMIT_MS) ? 'saved' : 'time';
    const tall = Math.max(2, y(0) - y(minute.slowest));
    parts.push(svg(`rect.${tone}`, { x: x(i) + gap / 2, y: y(0) - tall, width: scale.slot - gap, height: tall }));
  });
  return parts;
}

// The time of day under every quarter of an hour.
function hours(row, x) {
  const parts = [];
  row.forEach((minute, i) => {
    if ((minute.at / 60) % 15 !== 0) return;
    const at = { x: x(i), y: TIMES.top + TIMES.height + 18, 'text-anchor': i < 2 ? 'start' : i > row.length - 3 ? 'end' : 'middle' };
    parts.push(svg('line.tick', { x1: x(i), x2: x(i), y1: TIMES.top + TIMES.height, y2: TIMES.top + TIMES.height + 4 }));
    parts.push(svg('text.tick', at, clock(minute.at, false).slice(-5)));
  });
  return parts;
}

function line(y, right, name) {
  return svg(`line.${name}`, { x1: LEFT, x2: right, y1: Math.round(y) + 0.5, y2: Math.round(y) + 0.5 });
}

function label(y, text) {
  return svg('text.tick', { x: LEFT - 8, y: y + 4, 'text-anchor': 'end' }, text);
}

// The next of 2, 4, 10, 20, 40, …: half of it is a number that people read.
function nice(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= n && step % 2 === 0) ?? 10 * power;
}

// An hour in a strip, for an account's card.
export function strip(row) {
  const highest = Math.max(1, ...row.map((minute) => minute.total));
  const parts = [];
  row.forEach((minute, i) => {
    let y = 24;
    for (const name of CLASSES) {
      if (!minute[name]) continue;
      const tall = Math.max(1.5, (24 * minute[name]) / highest);
      y -= tall;
      parts.push(svg(`rect.${name}`, { x: i, y, width: 0.75, height: tall }));
    }
  });
  const box = `0 0 ${row.length} 24`;
  return svg('svg.strip', { viewBox: box, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, ...parts);
}
