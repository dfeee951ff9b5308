// co-wechat-api as its users have it, at the address that it is told: the same lines as peer.py takes, and the same
// answers. Calls that are at once share one API object.
'use strict';

const crypto = require('crypto');
const readline = require('readline');
const WechatAPI = require('co-wechat-api');

const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');

function commands({ base, appid, secret }) {
  // As README.md says: the base URL, which is a property, as are those of the other families of paths.
  const api = new WechatAPI(appid, secret);
  api.prefix = base + '/cgi-bin/';
  api.snsPrefix = base + '/sns/';
  // Its own three seconds are too short for a busy machine, and no part of what is looked at.
  api.setOpts({ timeout: 60000 });
  return {
    user_info: (openid) => api.getUser(openid),
    send_text: (openid, text) => api.sendText(openid, text),
    menu_create: (menu) => api.createMenu(menu),
    menu_get: () => api.getMenu(),
    upload: (path) => api.uploadImageMedia(path),
    download: async (id) => {
      const content = await api.getMedia(id);
      return { length: content.length, sha256: crypto.createHash('sha256').update(content).digest('hex') };
    },
    jsapi_ticket: async () => (await api.ensureTicket()).ticket,
    login: (code) => api.code2Session(code),
  };
}

async function outcome(command, args) {
  try {
    return { ok: await command(...args) };
  } catch (error) {
    return { error: { name: error.name, code: error.code ?? null, message: error.message } };
  }
}

async function main() {
  say('ready');
  let known = null;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (!known) {
      known = commands(request);
      continue;
    }
    const command = known[request.command];
    const calls = Array.from({ length: request.at_once }, () => outcome(command, request.arguments));
    say(await Promise.all(calls));
  }
}

main();
