// The host's own limits, which WeChat's guide tells to check, and WeChat's servers as the edge sees them.

import { fact, h, head, meter, show, state } from './dom.js';
import { bytes, clock, count, span } from './format.js';
import { t } from './words.js';

export function host(data) {
  const { accept_queue: queue, files, edge_files: edge, load, disk } = data.host ?? {};
  const store = data.edge?.store;
  const facts = [
    queue && fact(t('accept_queue'),
      state(queue.overflows_grown || queue.drops_grown ? 'bad' : 'ok', t('queue_limit', count(queue.most))),
      ...['overflows', 'drops'].map((name) => h('span.aside', null,
        t(name, count(queue[name]), count(queue[`${name}_grown`]), span(queue.grown_over_s))))),
    edge && part(t('edge_files'), edge.most ? edge.open / edge.most : null, `${count(edge.open)} / ${count(edge.most)}`),
    files && part(t('host_files'), files.most === null ? null : files.open / files.most,
      files.most === null ? count(files.open) : `${count(files.open)} / ${count(files.most)}`),
    load && part(t('load'), load.one / load.cores,
      [load.one, load.five, load.fifteen].map((n) => n.toFixed(2)).join('  '), t('cores', load.cores)),
    disk && part(t('disk'), 1 - disk.free / disk.total, t('disk_free', bytes(disk.free), bytes(disk.total))),
    store?.bytes_max > 0 && part(t('store'), store.bytes / store.bytes_max, `${bytes(store.bytes)} / ${bytes(store.bytes_max)}`),
    ...(data.api_base ?? []).map((base) => fact(base.base.replace(/^https:\/\//, ''),
      base.up === null ? state('none', t('base_untried')) : state(base.up ? 'ok' : 'bad', t(base.up ? 'base_up' : 'base_down')),
      base.since && h('span.aside', null, clock(base.since)))),
  ].filter(Boolean);
  show('host', head(t('host')), facts.length ? h('dl.facts', null, ...facts) : h('p.quiet', null, t('no_host')));
}

function part(name, of, text, aside) {
  return h('div.fact', null, h('dt', null, name),
    h('dd', null, h('span.figure', null, text), aside && h('span.aside', null, aside)), of !== null && meter(of));
}
