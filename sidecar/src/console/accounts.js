// The accounts: whether WeChat pushes, the app answers, and tokens and budgets last.

import { strip } from './chart.js';
import { fact, h, head, meter, show, state } from './dom.js';
import { clock, count, now, since, span } from './format.js';
import { minutes } from './outcomes.js';
import { named, t } from './words.js';

const PUSHING = { healthy: 'ok', recovered: 'ok', at_risk: 'warn', suspected: 'bad' };
const CIRCUIT = { closed: 'ok', probing: 'warn', open: 'bad' };
// A token is refreshed well before this much is left of it.
const SHORT_S = 240;
const OLD_S = 60;

export function accounts(data) {
  const all = data.accounts ?? [];
  show('accounts',
    head(t('accounts'), all.length > 1 && count(all.length)),
    all.length ? h('div.cards', null, ...all.map((account) => card(account, data)))
      : h('p.quiet', null, t('no_accounts')));
}

function card(account, data) {
  const { upstream = {}, spool = {}, source_ip: source = {} } = account;
  // What was known before the edge was lost is no verdict on now.
  const tone = (known) => (data.edge && !data.edge.up ? 'none' : known ?? 'none');
  const about = [account.nickname && account.account, account.appid, named('mode', account.mode), account.path];
  return h('article.card', { 'data-key': account.account },
    h('header', null,
      h('h3', null, account.nickname || account.account),
      state(tone(PUSHING[account.markfail]), named('markfail', account.markfail))),
    h('p.about', null, about.filter(Boolean).join(' · ')),
    strip(minutes(data.history, account.account)),
    h('dl', null,
      fact(t('last_callback'), account.last_callback
        ? h('span', { title: clock(account.last_callback) }, t('ago', since(account.last_callback))) : t('never')),
      fact(t('app'), state(tone(CIRCUIT[upstream.circuit]), named('circuit', upstream.circuit)),
        h('span.mono', null, [upstream.host, upstream.port].filter(Boolean).join(':')), upstream.in_flight > 0 && h('span.aside', null, t('in_flight', count(upstream.in_flight)))),
      fact(t('spool_short'),
        state(spool.oldest_s > OLD_S ? 'bad' : spool.pending ? 'warn' : 'none', t('pending_n', count(spool.pending))),
        state(spool.dead ? 'bad' : 'none', t('dead_n', count(spool.dead))),
        spool.pending > 0 && h('span.aside', null, t('oldest', span(spool.oldest_s)))),
      ...(account.credentials ?? []).map(credential),
      fact(t('source_ip'), named('policy', source.policy),
        source.listed > 0 && h('span.aside', null, t('listed', count(source.listed)))),
      ...(account.budgets ?? []).map(budget)));
}

function credential(of) {
  const left = of.expires ? of.expires - now() : null;
  let shown = state('none', t('cred_none'));
  if (of.state === 'failing') shown = state('bad', [t('cred_failing'), of.errcode].filter(Boolean).join(' '));
  else if (left !== null && left <= 0) shown = state('bad', t('expired', span(-left)));
  else if (left !== null) shown = state(left < SHORT_S ? 'warn' : 'ok', t('left', span(left)));
  return fact(of.credential, shown,
    of.state === 'failing' && left > 0 && h('span.aside', null, t('left', span(left))),
    of.action && h('span.todo', null, of.action));
}

function budget(of) {
  const part = of.limit ? of.used / of.limit : null;
  return h('div.fact.budget', null,
    h('dt', { title: of.api }, of.api, of.client ? ` · ${of.client}` : ''),
    h('dd', null, `${count(of.used)} / ${of.limit ? count(of.limit) : t('unlimited')}`),
    part !== null && meter(part));
}
