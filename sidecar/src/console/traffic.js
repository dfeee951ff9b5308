// The last hour: its numbers, which are the legend at the same time, its picture, and a minute of it that is looked at.

import { draw, middle, minuteAt } from './chart.js';
import { h, head, show } from './dom.js';
import { clock, count, ms, share } from './format.js';
import { CLASSES, classOf, minutes, sum } from './outcomes.js';
import { t } from './words.js';

let data = null;
let account = '';
let active = null;

export function traffic(fresh) {
  data = fresh;
  const names = Object.keys(data.history?.accounts ?? {}).sort();
  if (!names.includes(account)) account = '';
  const row = minutes(data.history, account);
  const all = sum(row);
  show('traffic',
    head(t('traffic'), null, names.length > 1 && picker(names)),
    h('div.legend', null,
      ...CLASSES.map((name) => key(name, t(name), count(all[name]), all.total ? share(all[name] / all.total) : '')),
      key('time', t('slowest_hour'), all.total ? ms(all.slowest) : '–', '')),
    h('div.chart', { 'data-own': true, tabindex: 0, role: 'group' }));
  picture(row);
}

function picker(names) {
  const chosen = (event) => {
    account = event.target.value;
    traffic(data);
  };
  const option = (value, text) => h('option', { value }, text);
  const nickname = (name) => data.accounts?.find((one) => one.account === name)?.nickname || name;
  return h('select', { 'aria-label': t('account'), onchange: chosen },
    option('', t('all_accounts')), ...names.map((name) => option(name, nickname(name))));
}

function key(name, label, number, part) {
  return h('div.key', null, h('span.label', null, h(`i.${name}`), label),
    h('span.number', null, number), h('span.part', null, part));
}

function picture(row) {
  const place = document.querySelector('#traffic .chart');
  if (!place.onkeydown) listenTo(place);
  place.setAttribute('aria-label', `${t('per_minute')}. ${t('chart_help')}`);
  const width = Math.max(260, place.clientWidth);
  const quiet = row.every((minute) => !minute.total);
  place.replaceChildren(h('h3', null, t('per_minute')), draw(row, width, active, deadline()));
  if (quiet) place.append(h('p.quiet', null, t('no_traffic')));
  if (active !== null && row[active]) place.append(tooltip(row, width));
}

function tooltip(row, width) {
  const minute = row[active];
  const running = active === row.length - 1 ? ` · ${t('running')}` : '';
  const lines = Object.entries(minute.outcomes).sort((one, other) => other[1] - one[1]);
  const box = h('div.tooltip', { role: 'status' },
    h('strong', null, clock(minute.at, false) + running),
    h('table', null,
      ...lines.map(([outcome, n]) => h('tr', null,
        h('td', null, h(`i.${classOf(outcome)}`), outcome), h('td.n', null, count(n)))),
      h('tr.sum', null, h('td', null, t('total')), h('td.n', null, count(minute.total))),
      h('tr', null, h('td', null, t('slowest_hour')), h('td.n', null, minute.total ? ms(minute.slowest) : '–'))));
  const x = middle(active, width, row.length);
  if (x < width / 2) box.style.left = `${x + 10}px`;
  else box.style.right = `${width - x + 10}px`;
  return box;
}

// The deadline of the accounts that are shown, in milliseconds; null where they have several.
function deadline() {
  const shown = (data.accounts ?? []).filter((one) => !account || one.account === account);
  const all = new Set(shown.map((one) => one.upstream?.deadline_ms ?? null));
  return all.size === 1 ? [...all][0] : null;
}

function listenTo(place) {
  const again = (next) => {
    if (next === active) return;
    active = next;
    picture(minutes(data.history, account));
  };
  const length = () => minutes(data.history, account).length;
  const point = (event) => {
    const box = place.getBoundingClientRect();
    again(minuteAt(event.clientX - box.left, box.width, length()));
  };
  place.addEventListener('pointermove', point);
  place.addEventListener('pointerdown', point);
  place.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && again(null));
  place.addEventListener('blur', () => again(null));
  place.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e6, End: 1e6 }[event.key];
    if (event.key === 'Escape') again(null);
    if (step === undefined) return;
    event.preventDefault();
    again(Math.max(0, Math.min(length() - 1, (active ?? length() - 1 - step) + step)));
  };
  new ResizeObserver(() => picture(minutes(data.history, account))).observe(place);
}
