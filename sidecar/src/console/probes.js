// What WeChat would find if it looked now; what fails stands first.

import { h, head, show, state } from './dom.js';
import { clock, ms, since } from './format.js';
import { named, t } from './words.js';

export function probes(data) {
  const all = [...(data.probes ?? [])].sort((one, other) => one.ok - other.ok);
  const bad = all.filter((probe) => !probe.ok).length;
  const verdict = all.length ? (bad ? t('probes_bad', bad, all.length) : t('probes_ok', all.length)) : t('probes_help');
  const column = (name) => h('th', { scope: 'col' }, t(name));
  show('probes',
    head(t('probes'), verdict),
    all.length === 0 ? h('p.quiet', null, t('no_probes')) : h('div.scroll', null, h('table.list', null,
      h('thead', null, h('tr', null, column('result'), column('probe'), column('target'), column('account'),
        h('th.n', { scope: 'col' }, t('took')), column('detail'), column('when'))),
      h('tbody', null, ...all.map(line)))));
}

function line(probe) {
  const or = (tag, text) => h(text ? tag : `${tag}.none`, null, text || '–');
  return h('tr', { 'data-key': `${probe.probe}/${probe.account ?? ''}/${probe.target}` },
    h('td', null, state(probe.ok ? 'ok' : 'bad', t(probe.ok ? 'ok' : 'bad'))),
    h('td', null, named('probe', probe.probe)),
    h('td.mono', null, probe.target ?? ''),
    or('td', probe.account),
    h('td.n', null, ms(probe.took_ms ?? 0)),
    or('td.detail', probe.detail),
    h('td.aside', { title: clock(probe.at) }, t('ago', since(probe.at))));
}
