// What is wrong, worst first, and what to do about it.

import { call, reason } from './api.js';
import { h, head, show, state } from './dom.js';
import { clock, now, since, span } from './format.js';
import { named, t } from './words.js';

const SEVERITIES = ['critical', 'high', 'medium'];
const MINUTES = [15, 60, 240, 1440];

// Those that fire, worst and oldest first.
export function firing(data) {
  return (data.alerts ?? []).filter((alert) => alert.state === 'firing').sort((one, other) =>
    SEVERITIES.indexOf(one.severity) - SEVERITIES.indexOf(other.severity) || one.time - other.time);
}

export function alerts(data, refresh) {
  const all = data.alerts ?? [];
  const pending = all.filter((alert) => alert.state === 'pending');
  const resolved = all.filter((alert) => alert.state === 'resolved').sort((one, other) => other.resolved - one.resolved);
  const open = [...firing(data), ...pending];
  const silences = data.silences ?? [];
  show('alerts',
    head(t('alerts'), open.length ? null : t('no_alerts')),
    ...open.map((alert) => card(alert, silences, refresh)),
    silences.length > 0 && h('div.silences', null, h('h3', null, t('silences')),
      ...silences.map((silence) => silenced(silence, refresh))),
    resolved.length > 0 && h('details.resolved', { 'data-key': 'resolved' },
      h('summary', null, t('resolved_n', resolved.length)),
      ...resolved.map((alert) => card(alert, [], null))));
}

function card(alert, silences, refresh) {
  const over = alert.state === 'resolved';
  const silence = silences.find((one) => one.alert === alert.alert && (!one.account || one.account === alert.account));
  const tone = alert.state === 'firing' ? alert.severity : alert.state;
  return h(`article.alert.${tone}`, { 'data-key': `${alert.alert}/${alert.account ?? ''}` },
    h('header', null,
      alert.state === 'pending' ? state('none', t('pending')) : state(over ? 'ok' : alert.severity === 'medium' ? 'warn' : 'bad',
        over ? t('resolved_at', clock(alert.resolved)) : named('sev', alert.severity)),
      h('h3', null, named('alert', alert.alert)),
      h('span.who', null, alert.nickname || alert.account || t('all_accounts')),
      h('div.actions', null, over ? null
        : silence ? h('span.aside', null, t('silenced_until', clock(silence.until, false)))
          : h('button.small', { type: 'button', onclick: (event) => form(event, alert, refresh) }, t('silence')))),
    h('p', null, alert.description),
    alert.action && !over && h('p.action', null, h('b', null, t('what_to_do')), alert.action),
    h('p.small', null, [
      t('alert_since', clock(alert.time), since(alert.time)),
      alert.count > 0 && (alert.window_s > 0 ? t('alert_count', alert.count, span(alert.window_s)) : t('alert_now', alert.count)),
      alert.appid,
    ].filter(Boolean).join(' · ')),
    example(alert.example),
    h('div', { 'data-own': true }));
}

// As WeChat's own alarms write it.
function example(of) {
  const names = { IP: of?.ip, Msg: of?.msg_type, response_length: of?.response_length, response_content: of?.response };
  const parts = Object.entries(names).filter(([, value]) => value !== null && value !== undefined);
  return parts.length > 0 && h('code.example', null, parts.map(([name, value]) => `[${name}=${value}]`).join(''));
}

function silenced(silence, refresh) {
  const end = async (event) => {
    event.target.disabled = true;
    await call('DELETE', `/v1/silences/${encodeURIComponent(silence.id)}`).catch(() => {});
    refresh();
  };
  return h('p.silence', { 'data-key': `silence/${silence.id}` },
    [named('alert', silence.alert), silence.account || t('all_accounts'),
      t('left', span(silence.until - now())), silence.comment].filter(Boolean).join(' · '),
    h('button.small', { type: 'button', onclick: end }, t('unsilence')));
}

// Asks for how long, in the alert's own card.
function form(event, alert, refresh) {
  const place = event.target.closest('.alert').lastElementChild;
  if (place.firstChild) {
    place.replaceChildren();
    return;
  }
  const option = (value, text) => h('option', { value }, text);
  const minutes = h('select', { name: 'minutes' }, ...MINUTES.map((n) => option(n, span(n * 60))));
  const whom = h('select', { name: 'account' },
    alert.account && option(alert.account, t('this_account', alert.nickname || alert.account)), option('', t('all_accounts')));
  const comment = h('input', { name: 'comment', maxlength: 200, autocomplete: 'off' });
  const said = h('p.small', { role: 'status' });
  const submit = async (event) => {
    event.preventDefault();
    const silence = {
      alert: alert.alert, account: whom.value || null, minutes: Number(minutes.value), comment: comment.value,
    };
    try {
      await call('POST', '/v1/silences', silence);
      place.replaceChildren();
      refresh();
    } catch (error) {
      said.textContent = t('failed', reason(error));
    }
  };
  place.replaceChildren(h('form.silence-form', { onsubmit: submit },
    h('label', null, t('for_how_long'), minutes),
    h('label', null, t('for_whom'), whom),
    h('label.wide', null, t('comment'), comment),
    h('button.primary', { type: 'submit' }, t('silence')),
    h('button', { type: 'button', onclick: () => place.replaceChildren() }, t('cancel')),
    said));
  minutes.focus();
}
