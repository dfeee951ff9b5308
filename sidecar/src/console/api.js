// The sidecar's API. Keys live in this tab's session and go along as headers, never in an address.

import { askKey } from './ask.js';
import { t } from './words.js';

const TIMEOUT_MS = 8000;
// The edge has longer: it may have to look through its disk.
const EDGE_TIMEOUT_MS = 20000;
// The sidecar says something more often, if only that there is nothing to say.
const SILENCE_MS = 45000;
const EVENT_CHARACTERS = 1 << 18;

const KEY = 'wxedge-key';
const ADMIN_KEY = 'wxedge-admin-key';

export class Refused extends Error {
  constructor(status, message) {
    super(message || `HTTP ${status}`);
    this.status = status;
  }
}

function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { authorization: `Bearer ${key}` } : {};
}

// Asks for the sidecar's key; whether there is one now.
export async function unlock() {
  const key = await askKey(t('key_title'), t('key_text'), sessionStorage.getItem(KEY) !== null);
  if (key !== null) sessionStorage.setItem(KEY, key);
  return key !== null;
}

// The answer as JSON, null when it is empty. Throws `Refused`, or what `fetch` throws when there is no answer.
export async function call(method, path, body, headers = {}, timeout = TIMEOUT_MS) {
  const options = { method, headers: { ...authorization(), ...headers }, cache: 'no-store', signal: AbortSignal.timeout(timeout) };
  if (body !== undefined) {
    options.headers['content-type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    // Something in between answers in its own words.
    throw new Refused(response.status, t('no_answer'));
  }
  if (!response.ok) throw new Refused(response.status, answer?.error);
  return answer;
}

// What the edge lets its operators do: with its admin key, which is asked for when the edge wants it.
export async function callEdge(method, path) {
  for (;;) {
    const key = sessionStorage.getItem(ADMIN_KEY);
    try {
      return await call(method, path, undefined, key ? { 'x-wxedge-admin-key': key } : {}, EDGE_TIMEOUT_MS);
    } catch (error) {
      if (error.status !== 401) throw error;
      const given = await askKey(t('admin_title'), t('admin_text'), key !== null);
      if (given === null) throw error;
      sessionStorage.setItem(ADMIN_KEY, given);
    }
  }
}

// The words for an error.
export function reason(error) {
  return error instanceof Refused ? error.message : t('no_answer');
}

// Reads the event stream until it ends: `opened()` once, `told(name, data)` for each event. `EventSource` would be
// simpler, but sends no key.
export async function listen(opened, told) {
  const stop = new AbortController();
  let watchdog = setTimeout(() => stop.abort(), SILENCE_MS);
  try {
    const response = await fetch('/v1/tail', { headers: authorization(), cache: 'no-store', signal: stop.signal });
    if (!response.ok) throw new Refused(response.status);
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => stop.abort(), SILENCE_MS);
      text += value.replaceAll('\r', '');
      const blocks = text.split('\n\n');
      text = blocks.pop();
      if (text.length > EVENT_CHARACTERS) throw new Error('an event without an end');
      for (const block of blocks) deliver(block, told);
    }
  } finally {
    clearTimeout(watchdog);
    stop.abort();
  }
}

function deliver(block, told) {
  let name = '';
  let data = '';
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7);
    if (line.startsWith('data: ')) data += line.slice(6);
  }
  let parsed;
  try {
    parsed = JSON.parse(data);
  } catch {
    return; // a heartbeat, or nothing that this version knows
  }
  told(name, parsed);
}
