// What happens, as it happens: the newest line first, and a bounded number of them.

import { listen } from './api.js';
import { h, head, show } from './dom.js';
import { clock, count, ms, now, span } from './format.js';
import { classOf } from './outcomes.js';
import { t } from './words.js';

const LINES = 500;
const RETRY_S = [1, 2, 4, 8, 15, 30];

// Newest first.
let lines = [];
let paused = null;
let missed = 0;
let heard = 0;
let summaries = true;
let open = false;
let hears = true;
let retryAt = 0;
let drawn = false;
let wake = () => {};

// Follows the stream for as long as the page lives.
export async function follow() {
  for (let tries = 0; ; tries += 1) {
    try {
      await listen(() => {
        tries = 0;
        open = true;
        tail();
      }, told);
    } catch {
      // Said below, whatever it was.
    }
    open = false;
    const pause = RETRY_S[Math.min(tries, RETRY_S.length - 1)] * (0.8 + 0.4 * Math.random());
    retryAt = now() + pause;
    tail();
    await new Promise((done) => {
      wake = done;
      setTimeout(done, pause * 1000);
    });
  }
}

// Tries again at once: there is a key now, or the sidecar is back.
export function reconnect() {
  wake();
}

function told(name, data) {
  if (data === null || typeof data !== 'object') return;
  if (name === 'stream') hears = data.open === true;
  heard += 1;
  lines.unshift({ name, data, number: heard });
  lines.length = Math.min(lines.length, LINES);
  if (paused) missed += 1;
  // Many may come at once; they are drawn together.
  if (drawn) return;
  drawn = true;
  setTimeout(() => {
    drawn = false;
    tail();
  }, 200);
}

export function tail() {
  const shown = (paused ?? lines).filter(({ name }) => summaries || name !== 'summary');
  const link = open ? (hears ? t('tail_open') : t('tail_edge')) : t('tail_closed', span(Math.max(1, retryAt - now())));
  show('tail',
    head(t('tail'), paused ? t('paused_n', count(missed)) : link,
      h('select', { 'aria-label': t('tail'), onchange: (event) => { summaries = event.target.value === 'all'; tail(); } },
        h('option', { value: 'all' }, t('tail_all')), h('option', { value: 'some' }, t('tail_failures'))),
      h('button.small', { type: 'button', onclick: clear }, t('clear')),
      h('button.small', { type: 'button', 'aria-pressed': String(paused !== null), onclick: pause }, t(paused ? 'resume' : 'pause'))),
    h('ol.tail', { tabindex: 0, 'aria-label': t('tail') }, ...shown.map(line)),
    shown.length === 0 && h('p.quiet', null, t('tail_empty')));
}

function pause() {
  paused = paused ? null : [...lines];
  missed = 0;
  tail();
}

function clear() {
  lines = [];
  paused &&= [];
  missed = 0;
  tail();
}

function line({ name, data, number }) {
  const { tone, text } = (WORDS[name] ?? plain)(data);
  return h(`li.${tone}`, { 'data-key': number },
    h('time', null, typeof data.t === 'number' ? clock(data.t) : ''),
    h('span.who', null, data.account ?? ''),
    h('span.what', null, name),
    h('span.text', null, text));
}

function joined(...parts) {
  return parts.filter((part) => part !== null && part !== undefined && part !== '' && part !== false).join(' · ');
}

// A line for each kind of event, in the edge's own names: those are what its documentation and metrics have.
const WORDS = {
  summary(data) {
    const ended = Object.entries(data.outcomes ?? {}).filter(([, n]) => n > 0);
    const tones = ended.map(([outcome]) => classOf(outcome));
    const tone = ['seen', 'saved', 'rejected'].find((one) => tones.includes(one)) ?? 'good';
    return { tone, text: joined(...ended.map(([outcome, n]) => `${outcome} ${n}`), t('slowest_short', ms(data.slowest_ms ?? 0))) };
  },
  failure(data) {
    const took = typeof data.duration_ms === 'number' && ms(data.duration_ms);
    const text = joined(data.outcome, data.reason, data.kind, data.peer, took, data.response && JSON.stringify(data.response));
    return { tone: classOf(String(data.outcome)), text };
  },
  circuit: (data) => ({ tone: { open: 'seen', probing: 'saved' }[data.state] ?? 'good', text: joined(data.state) }),
  spool(data) {
    const tone = { dead: 'seen', spooled: 'saved', retry: 'saved', delivered: 'good' }[data.action] ?? 'none';
    return { tone, text: joined(data.action, data.reason, data.id) };
  },
  token(data) {
    const tone = { new: 'good', confirmed: 'none' }[data.result] ?? 'seen';
    return { tone, text: joined(data.credential, data.result, data.errcode, data.action) };
  },
  api_base: (data) => ({ tone: data.up ? 'good' : 'seen', text: joined(data.base, t(data.up ? 'base_up' : 'base_down')) }),
  reload: (data) => ({ tone: data.result === 'ok' ? 'good' : 'seen', text: joined(data.result, data.error) }),
  lost: (data) => ({ tone: 'saved', text: joined(data.n) }),
  hello: (data) => ({ tone: 'none', text: joined(data.version) }),
  stream: (data) => ({ tone: data.open ? 'good' : 'seen', text: t(data.open ? 'tail_open' : 'tail_edge') }),
};

function plain(data) {
  const { t: _at, account: _account, ...rest } = data;
  return { tone: 'none', text: JSON.stringify(rest) };
}
