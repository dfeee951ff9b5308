// The console: asks the sidecar every few seconds what is known, and shows it.

import { accounts } from './accounts.js';
import { alerts } from './alerts.js';
import { call, unlock } from './api.js';
import { h } from './dom.js';
import { setClock } from './format.js';
import { host } from './host.js';
import { notify } from './notify.js';
import { banner, header, verdict } from './overview.js';
import { probes } from './probes.js';
import { spool } from './spool.js';
import { follow, reconnect, tail } from './tail.js';
import { traffic } from './traffic.js';
import { chinese, setLanguage, t } from './words.js';

const INTERVAL_MS = 3000;
// A page that nobody looks at still counts the alerts in its title.
const HIDDEN_MS = 15000;
const RETRY_S = [1, 2, 4, 8, 15];
const THEMES = ['auto', 'light', 'dark'];

let data = null;
let language = localStorage.getItem('wxedge-language');
let theme = localStorage.getItem('wxedge-theme') ?? 'auto';
let failures = 0;
let wake = () => {};
const link = { lost: null, locked: false, retryAt: 0, retry: () => wake(), unlock: ask };

async function refresh() {
  const asked = language;
  try {
    const fresh = await call('GET', `/v1/console${asked ? `?lang=${asked}` : ''}`);
    const back = link.lost !== null || link.locked;
    Object.assign(link, { lost: null, locked: false, retryAt: 0 });
    failures = 0;
    data = fresh;
    setClock(data.now);
    setLanguage(language ?? data.language);
    if (back) reconnect();
  } catch (error) {
    if (error.status === 401) {
      const first = !link.locked;
      // It is there, and wants a key.
      Object.assign(link, { lost: null, locked: true, retryAt: 0 });
      if (first) ask();
    } else {
      link.lost ??= Date.now() / 1000;
      const pause = RETRY_S[Math.min(failures, RETRY_S.length - 1)] * (0.8 + 0.4 * Math.random());
      link.retryAt = Date.now() / 1000 + pause;
      failures += 1;
    }
  }
  render();
}

async function ask() {
  if (!await unlock()) return;
  // Wrong again is to be asked again.
  link.locked = false;
  wake();
}

function render() {
  header(data, settings());
  banner(data, link);
  if (data === null) return;
  for (const section of [verdict, alerts, traffic, accounts, spool, probes, notify, host]) {
    try {
      section(data, () => wake());
    } catch (error) {
      // One that stumbles over something new must not hide the others.
      console.error(error);
    }
  }
  tail();
}

function settings() {
  const other = chinese() ? 'en' : 'zh';
  const speak = () => {
    language = other;
    localStorage.setItem('wxedge-language', other);
    setLanguage(other);
    render();
    wake();
  };
  const dress = (event) => {
    theme = event.target.value;
    localStorage.setItem('wxedge-theme', theme);
    paint();
  };
  return [
    h('select.plain', { 'aria-label': t('theme'), title: t('theme'), onchange: dress },
      ...THEMES.map((name) => h('option', { value: name, selected: name === theme }, t(`theme_${name}`)))),
    h('button.plain', { type: 'button', lang: other, onclick: speak }, t('other_language')),
  ];
}

function paint() {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function pause(ms) {
  return new Promise((done) => {
    wake = done;
    setTimeout(done, ms);
  });
}

async function run() {
  for (;;) {
    await refresh();
    if (link.lost !== null) {
      // The seconds go on while nobody answers.
      const ticking = setInterval(render, 1000);
      await pause(Math.max(0, link.retryAt * 1000 - Date.now()));
      clearInterval(ticking);
    } else {
      await pause(document.hidden ? HIDDEN_MS : INTERVAL_MS);
    }
  }
}

paint();
setLanguage(language ?? (navigator.language.startsWith('zh') ? 'zh' : 'en'));
document.addEventListener('visibilitychange', () => document.hidden || wake());
render();
follow();
run();
