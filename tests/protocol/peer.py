"""wechatpy as a peer of the differential test: a JSON request a line on stdin, a JSON answer on stdout.

An answer is {"ok": ...} or {"error": "<exception class>"}. Nothing here imitates wechatpy: a wrapper
that helped would prove nothing.
"""

import json
import sys

import xmltodict
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.replies import deserialize_reply
from wechatpy.utils import check_signature


def crypto(request):
    return WeChatCrypto(request["token"], request["key"], request["appid"])


def encrypt(request):
    """wechatpy's own encrypted envelope, with random bytes of its own."""
    return crypto(request).encrypt_message(
        request["message"], request["nonce"], request["timestamp"]
    )


def decrypt(request):
    """Opens a callback body or a reply as an app built on wechatpy does."""
    return crypto(request).decrypt_message(
        request["body"], request["signature"], request["timestamp"], request["nonce"]
    )


def verify(request):
    check_signature(request["token"], request["signature"], request["timestamp"], request["nonce"])
    return True


def parse(request):
    """Type and fields of a message as wechatpy and its XML parser see them."""
    message = parse_message(request["body"])
    fields = xmltodict.parse(request["body"], strip_whitespace=False)["xml"]
    return {"class": type(message).__name__, "fields": fields}


def reply(request):
    """A passive reply read back, by its own reader."""
    reply = deserialize_reply(request["body"])
    return {name: getattr(reply, name) for name in ("type", "source", "target", "time", "content")}


COMMANDS = {
    "encrypt": encrypt,
    "decrypt": decrypt,
    "verify": verify,
    "parse": parse,
    "reply": reply,
}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"ok": COMMANDS[request["command"]](request)}
    except Exception as error:  # every refusal is an answer
        answer = {"error": type(error).__name__}
    print(json.dumps(answer), flush=True)
