// The app a team writes without wxedge, in JavaScript: koa + co-wechat, safe mode, answers "hi".
'use strict';

const Koa = require('koa');
const wechat = require('co-wechat');

const app = new Koa();
app.use(wechat({
  token: process.env.BENCH_TOKEN,
  encodingAESKey: process.env.BENCH_AES_KEY,
  appid: process.env.BENCH_APPID,
}).middleware(async () => 'hi'));
app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
