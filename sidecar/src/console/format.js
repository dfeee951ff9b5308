// Numbers and times as people read them. Times are Unix seconds, by the sidecar's clock.

import { chinese } from './words.js';

let ahead = 0;

// Sets this page's clock by the sidecar's.
export function setClock(now) {
  ahead = now - Date.now() / 1000;
}

export function now() {
  return Date.now() / 1000 + ahead;
}

export function count(n) {
  return Math.round(Number(n) || 0).toLocaleString('en-US');
}

// A share of 1; never "100 %" or "0 %" for what is only nearly so.
export function share(part) {
  if (part > 0 && part < 0.0001) return '<0.01 %';
  const digits = part > 0.99 || part < 0.01 ? 2 : 1;
  const scale = 100 * 10 ** digits;
  const rounded = (part < 1 ? Math.floor(part * scale) : scale) / 10 ** digits;
  return `${rounded === 100 || rounded === 0 ? rounded : rounded.toFixed(digits)} %`;
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = Number(n) || 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function ms(n) {
  if (n >= 1000) return `${(n / 1000).toFixed(2)} s`;
  return `${n >= 10 || n === 0 ? Math.round(n) : n.toFixed(1)} ms`;
}

// A duration in its two largest units.
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const units = chinese() ? ['天', '小时', '分', '秒'] : ['d', 'h', 'min', 's'];
  const parts = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60, s % 60];
  const first = Math.max(0, parts.findIndex((part) => part > 0));
  const last = s === 0 ? 3 : first;
  const shown = [0, 1].map((i) => last + i).filter((i) => i < 4 && (i === last || parts[i] > 0));
  return shown.map((i) => `${parts[i]} ${units[i]}`).join(' ');
}

export function since(time) {
  return span(now() - time);
}

// The time of day, in the reader's zone; with the date unless it is today's.
export function clock(time, seconds = true) {
  const at = new Date(time * 1000);
  const two = (n) => String(n).padStart(2, '0');
  const hour = `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ''}`;
  const today = at.toDateString() === new Date(now() * 1000).toDateString();
  return today ? hour : `${two(at.getMonth() + 1)}-${two(at.getDate())} ${hour}`;
}
