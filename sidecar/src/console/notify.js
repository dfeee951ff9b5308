// Whether those are told who ought to be.

import { h, head, show, state } from './dom.js';
import { count } from './format.js';
import { t } from './words.js';

const COUNTS = ['sent', 'failed', 'dropped', 'waiting'];

// The outputs that do not take what they are told.
export function deaf(data) {
  return (data.notify ?? []).filter(({ error }) => error);
}

export function notify(data) {
  const all = data.notify ?? [];
  const column = (tag, name) => h(tag, { scope: 'col' }, t(name));
  show('notify',
    head(t('outputs'), all.length ? null : t('no_outputs')),
    all.length > 0 && h('div.scroll', null, h('table.list', null,
      h('thead', null, h('tr', null, column('th', 'result'), column('th', 'output'),
        ...COUNTS.map((name) => column('th.n', `output_${name}`)))),
      h('tbody', null, ...all.map(line)))));
}

function line(one) {
  return h('tr', { 'data-key': one.output },
    h('td', null, state(one.error ? 'bad' : 'ok', one.error || t('ok'))),
    h('td.mono', null, one.output),
    ...COUNTS.map((name) => h('td.n', null, count(one[name] ?? 0))));
}
