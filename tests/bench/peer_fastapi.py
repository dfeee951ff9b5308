"""The app a team writes without wxedge, in Python: FastAPI + wechatpy, safe mode, answers "hi"."""

import os

from fastapi import FastAPI, Request, Response
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.replies import create_reply

app = FastAPI()
crypto = WeChatCrypto(os.environ["BENCH_TOKEN"], os.environ["BENCH_AES_KEY"], os.environ["BENCH_APPID"])


@app.post("/wechat")
async def callback(request: Request, msg_signature: str, timestamp: str, nonce: str) -> Response:
    body = await request.body()
    message = parse_message(crypto.decrypt_message(body, msg_signature, timestamp, nonce))
    reply = create_reply("hi", message).render()
    return Response(crypto.encrypt_message(reply, nonce), media_type="application/xml")
