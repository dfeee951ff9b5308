// What waits and what is dead. Entries are about people, so they are fetched only when somebody asks for them, and through
// the edge's own door.

import { callEdge, reason } from './api.js';
import { confirm } from './ask.js';
import { h, head, show, state } from './dom.js';
import { bytes, clock, count } from './format.js';
import { t } from './words.js';

const PAGE = 50;

let data = null;
// Null while nothing is shown.
let entries = null;
let next = null;
let dead = true;
let account = '';
let said = '';
let busy = false;

export function spool(fresh) {
  data = fresh;
  render();
}

function render() {
  const orphans = data.spool_orphans ?? [];
  // An appid that no account has any more stands where an account's name does.
  const all = [...data.accounts ?? [], ...orphans.map((one) => ({ account: one.appid, spool: one }))];
  const total = (name) => all.reduce((n, one) => n + (one.spool?.[name] ?? 0), 0);
  const clear = total('pending') === 0 && total('dead') === 0;
  const open = entries !== null;
  show('spool',
    head(t('spool'), clear ? t('spool_clear') : t('spool_counts', count(total('pending')), count(total('dead'))),
      open && button('refresh', () => load(false)),
      button(open ? 'hide_entries' : 'show_entries', () => (open ? hide() : load(false)))),
    ...orphans.map((one) => h('p.note', { 'data-key': `orphan/${one.appid}` },
      state('bad', t('orphan', one.appid)), ' ', t('spool_counts', count(one.pending), count(one.dead)), ' · ', t('orphan_what'))),
    said && h('p.said', { role: 'status' }, said),
    open && h('div.filters', null,
      choice(t('state'), dead ? 'dead' : 'pending', [['dead', t('dead')], ['pending', t('waiting')]],
        (value) => { dead = value === 'dead'; }),
      choice(t('account'), account, [['', t('all_accounts')], ...all.map((one) => [one.account, one.nickname || one.account])],
        (value) => { account = value; }),
      dead && entries.length > 0 && button('replay_all', replayAll)),
    open && (entries.length ? list() : h('p.quiet', null, t('no_entries'))),
    open && next && button('more', () => load(true)));
}

function button(word, onclick, extra = '') {
  return h(`button.small${extra}`, { type: 'button', disabled: busy, onclick }, t(word));
}

function choice(label, value, options, chosen) {
  const onchange = (event) => {
    chosen(event.target.value);
    load(false);
  };
  return h('label', null, label, h('select', { onchange },
    ...options.map(([of, text]) => h('option', { value: of, selected: of === value }, text))));
}

function list() {
  return h('div.entries', null, ...entries.map((entry) => h('details.entry', {
    'data-key': entry.id, ontoggle: (event) => event.target.open && look(event.target, entry),
  },
  h('summary', null,
    state(entry.state === 'dead' ? 'bad' : 'warn', entry.reason || t(entry.state === 'dead' ? 'dead' : 'waiting')),
    h('span.mono', null, (entry.ce_type ?? entry.kind ?? '').replace('com.weixin.', '')),
    h('span.aside', null, [entry.account, clock(entry.received), `× ${entry.attempts}`].join(' · ')),
    h('span.detail', null, entry.detail ?? '')),
  h('dl.facts', null,
    pair(t('user'), entry.subject), pair('ce-id', entry.ce_id), pair('id', entry.id), pair(t('kind'), entry.kind),
    pair(t('next_attempt'), entry.next_attempt ? clock(entry.next_attempt) : null),
    pair(t('detail'), entry.detail), pair(t('size'), bytes(entry.bytes))),
  h('div', { 'data-own': true }),
  h('div.buttons', null,
    entry.state === 'dead' && button('replay', () => change('POST', `/${id(entry)}/replay`, (done) => t('replayed_n', done?.replayed ?? 1))),
    button('delete', () => remove(entry), '.danger')))));
}

function pair(name, value) {
  return value && h('div.fact', null, h('dt', null, name), h('dd.mono', null, value));
}

function id(entry) {
  return encodeURIComponent(entry.id);
}

// The message and what the app said to it, into the entry that was opened.
async function look(details, entry) {
  const place = details.querySelector('[data-own]');
  if (place.firstChild) return;
  try {
    const whole = await callEdge('GET', `/v1/spool/${id(entry)}`);
    const answer = whole.last_answer;
    place.replaceChildren(
      h('h4', null, t('body')), h('pre', null, JSON.stringify(whole.body, null, 2)),
      h('h4', null, t('last_answer')), h('pre', null, answer ? `${answer.status}\n${answer.body}` : t('none')));
  } catch (error) {
    place.replaceChildren(h('p.said', null, t('failed', reason(error))));
  }
}

function query(more) {
  const of = { state: dead ? 'dead' : 'pending', account, ...more };
  return new URLSearchParams(Object.entries(of).filter(([, value]) => value)).toString();
}

function hide() {
  entries = null;
  said = '';
  render();
}

async function load(more) {
  await ask(async () => {
    const page = await callEdge('GET', `/v1/spool?${query({ limit: PAGE, after: more ? next : '' })}`);
    entries = more ? [...entries, ...page.entries] : page.entries;
    next = page.next;
    return '';
  });
}

async function change(method, path, words) {
  await ask(async () => words(await callEdge(method, `/v1/spool${path}`)));
  const result = said;
  await load(false);
  said = said || result;
  render();
}

async function remove(entry) {
  if (await confirm(t('delete'), t('confirm_delete'))) await change('DELETE', `/${id(entry)}`, () => t('deleted'));
}

async function replayAll() {
  const whose = account || t('all_accounts');
  if (!await confirm(t('replay_all'), t('confirm_replay_all', whose))) return;
  await change('POST', `/replay?${query({})}`, (done) => t('replayed_n', count(done?.replayed)));
}

// Does one thing at a time, and says how it went.
async function ask(what) {
  busy = true;
  render();
  try {
    said = await what();
  } catch (error) {
    said = t('failed', reason(error));
  }
  busy = false;
  render();
}
