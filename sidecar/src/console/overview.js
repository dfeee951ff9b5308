// The first look: whether the edge is there, and whether anything needs somebody.

import { firing } from './alerts.js';
import { h, show, state } from './dom.js';
import { clock, count, now, share, since, span } from './format.js';
import { deaf } from './notify.js';
import { minutes, sum } from './outcomes.js';
import { t } from './words.js';

// `settings` are the buttons on the right.
export function header(data, settings) {
  const edge = data?.edge;
  const facts = !edge ? [] : [
    edge.version && `wxedge ${edge.version}`,
    edge.up && edge.started && t('uptime', span(now() - edge.started)),
    edge.up && t(edge.ready ? 'ready' : 'not_ready'),
    t('updated', clock(data.now)),
  ];
  const badge = !edge || unknown(edge) ? state('none', t('connecting')) : state(edge.up ? 'ok' : 'bad', t(edge.up ? 'up' : 'down'));
  show('header',
    h('div.brand', null, h('strong', null, 'wxedge'), h('span.aside', null, t('title'))),
    badge,
    h('span.facts', null, facts.filter(Boolean).join(' · ')),
    h('div.actions', null, ...settings));
  const open = data ? firing(data).length : 0;
  document.title = `${open ? `(${open}) ` : ''}${edge && !edge.up ? `${t('down')} · ` : ''}wxedge`;
}

// The sidecar has just been started and has not looked yet.
function unknown(edge) {
  return !edge.up && !edge.since;
}

// What stands above everything else; `link` says how it is between this page and the sidecar.
export function banner(data, link) {
  let text = null;
  if (link.locked) text = t('locked');
  else if (link.lost && data) text = t('lost', span(Date.now() / 1000 - link.lost), clock(data.now));
  else if (link.lost) text = t('lost_first');
  const wait = link.retryAt - Date.now() / 1000;
  show('banner', text && h(`p.banner.${link.locked ? 'none' : 'bad'}`, null, h('span', null, text),
    link.locked ? h('button', { type: 'button', onclick: link.unlock }, t('unlock'))
      : [h('span.aside', null, wait > 0 ? t('retry_in', span(Math.ceil(wait))) : t('retrying')),
        h('button', { type: 'button', onclick: link.retry }, t('retry_now'))]));
  document.body.classList.toggle('stale', text !== null || (data !== null && !data.edge?.up));
}

export function verdict(data) {
  const { edge = {} } = data;
  const all = sum(minutes(data.history, ''));
  const alerts = firing(data);
  const pending = (data.alerts ?? []).filter((alert) => alert.state === 'pending').length;
  const failing = (data.probes ?? []).filter((probe) => !probe.ok).length;
  const notes = [];
  if (!edge.up && !unknown(edge)) notes.push(t('edge_down', clock(edge.since), since(edge.since)));
  if (edge.up && edge.store && edge.store.writable === false) notes.push(t('store_unwritable'));
  if (edge.config?.error) notes.push(t('config_refused', edge.config.error));
  for (const { output, error } of deaf(data)) notes.push(t('deaf', output, error));
  let tone = 'ok';
  let text = t('all_well');
  if (alerts.length) [tone, text] = [alerts[0].severity === 'medium' ? 'warn' : 'bad', t('firing_n', alerts.length)];
  else if (unknown(edge)) [tone, text] = ['none', t('connecting')];
  else if (!edge.up) [tone, text] = ['bad', t('down')];
  else if (!edge.ready) [tone, text] = ['bad', t('starting')];
  else if (notes.length) [tone, text] = ['warn', notes.shift()];
  else if (pending) [tone, text] = ['warn', t('checking_n', pending)];
  // No alert comes of these, and yet not all is well.
  else if (failing) [tone, text] = ['none', t('failing_n', failing)];
  show('verdict', h(`div.verdict.${tone}`, null,
    h('h1', null, text),
    h('p', null, all.total ? t('well_traffic', count(all.total), all.answered === null ? '–' : share(all.answered)) : t('well_quiet')),
    ...notes.map((note) => h('p.note', null, note))));
}
