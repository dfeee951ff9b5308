"""wechatpy as its users have it, at the address that it is told: a JSON line on stdin, a JSON line on stdout.

The first line is {"base", "appid", "secret"}. Each later one is {"command", "arguments", "at_once"}: one client, shared by
that many threads, which begin together. The answer is a list of {"ok": ...} and {"error": {...}}. Nothing here helps
wechatpy: what it repeats, and what it says of an error, is what is looked at.
"""

import hashlib
import json
import sys
import threading

from wechatpy import WeChatClient
from wechatpy.oauth import WeChatOAuth

print(json.dumps("ready"), flush=True)
place = json.loads(sys.stdin.readline())


class Client(WeChatClient):
    """As README.md says: the base URL, in the two places where wechatpy has it."""

    API_BASE_URL = place["base"] + "/cgi-bin/"

    def _fetch_access_token(self, url, params):
        return super()._fetch_access_token(self.API_BASE_URL + "token", params)


class OAuth(WeChatOAuth):
    API_BASE_URL = place["base"] + "/"


client = Client(place["appid"], place["secret"])
oauth = OAuth(place["appid"], place["secret"], "https://app.example/")


def download(media_id):
    content = client.media.download(media_id).content
    return {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def check_user(openid, token):
    """wechatpy returns whether the user's token is valid, and nothing else."""
    return oauth.check_access_token(openid, token)


COMMANDS = {
    "user_info": client.user.get,
    "send_text": client.message.send_text,
    "menu_create": client.menu.create,
    "menu_get": client.menu.get,
    "upload": lambda path: client.media.upload("image", open(path, "rb")),
    "download": download,
    "jsapi_ticket": client.jsapi.get_jsapi_ticket,
    "login": oauth.fetch_access_token,
    "login_again": oauth.refresh_access_token,
    "login_user": oauth.get_user_info,
    "login_check": check_user,
}


def outcome(command, arguments):
    try:
        return {"ok": COMMANDS[command](*arguments)}
    except Exception as error:  # every refusal is an outcome
        response = getattr(error, "response", None)
        return {"error": {
            "name": type(error).__name__,
            "code": getattr(error, "errcode", None),
            "message": str(error),
            "status": getattr(response, "status_code", None),
            "body": getattr(response, "text", None),
        }}


for line in sys.stdin:
    request = json.loads(line)
    together = threading.Barrier(request["at_once"])
    outcomes = []

    def run():
        together.wait()
        outcomes.append(outcome(request["command"], request["arguments"]))

    threads = [threading.Thread(target=run) for _ in range(request["at_once"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(outcomes), flush=True)
