"""The measured servers and what stands behind them."""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from processes import HERE, LOAD_CORE, RELEASE, SERVER_CORE, WORK, free_port, start

PROGRAM = Path(os.environ.get("WXEDGE_BIN", RELEASE / "wxedge"))
TOKEN = "benchtoken"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APPIDS = {"safe": "wx0000000000000001", "plain": "wx0000000000000002", "held": "wx0000000000000003"}
ANSWER = '{"msgtype":"text","text":{"content":"hi"}}'
CLIENT_KEY = "benchkey-0123456789abcdef0123456789abcdef"

CONNECTIONS = 32
HELD = 5_000
UNBOUNDED = 1_000_000_000


@dataclass
class Server:
    """One measured configuration: a process and how to ask it."""

    name: str
    kind: str  # what bench-load sends and expects
    path: str
    port: int
    process: subprocess.Popen
    app: "subprocess.Popen | None"  # the process behind it
    connections: int = CONNECTIONS
    key: str = ""  # of a client of the API listener
    beside: "subprocess.Popen | None" = None  # a sidecar that watches it
    slices: list = field(default_factory=list)


def nginx(stack: contextlib.ExitStack, core: int, locations: str, upstream: "int | None" = None,
          port: "int | None" = None) -> "tuple[int, subprocess.Popen]":
    port = port or free_port()
    prefix = WORK / f"nginx-{port}"
    prefix.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (prefix / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid nginx.pid; error_log error.log; {user}
        events {{ worker_connections 16384; }}
        http {{
            access_log off; keepalive_timeout 1h; keepalive_requests {UNBOUNDED}; default_type application/json;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
            {f"upstream app {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests {UNBOUNDED}; keepalive_timeout 1h; }}" if upstream else ""}
            server {{ listen 127.0.0.1:{port}; client_max_body_size 0; {locations} }}
        }}""")
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return port, start(stack, [program, "-p", prefix, "-c", "nginx.conf", "-e", "error.log"], core, port)


def nginx_proxy(stack: contextlib.ExitStack, app_port: int, more: str = "") -> "tuple[int, subprocess.Popen]":
    return nginx(stack, SERVER_CORE, f"""
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; {more} }}""", app_port)


def pingora_pass(stack: contextlib.ExitStack, app_port: int) -> "tuple[int, subprocess.Popen]":
    port = free_port()
    return port, start(stack, [RELEASE / "bench-pass", f"127.0.0.1:{port}", f"127.0.0.1:{app_port}"], SERVER_CORE, port)


def wxedge(stack: contextlib.ExitStack, ports: "dict[str, int]", config: str, program: Path = PROGRAM,
           store: "Path | None" = None, core: "int | None" = SERVER_CORE) -> subprocess.Popen:
    """An edge whose listeners have these ports; `config` is the rest of its configuration."""
    ports = {name: ports.get(name) or free_port() for name in ("callback", "api", "admin")}
    port = ports["callback"]
    listen = "\n".join(f'{name} = "127.0.0.1:{port}"' for name, port in ports.items())
    path = WORK / f"wxedge-{port}.toml"
    path.write_text(f"""
        [listen]
        {listen}
        [runtime]
        threads = 1
        grace_s = 1
        upgrade_sock = "{WORK}/upgrade-{port}.sock"
        [store]
        url = "embedded:{store or WORK / f'wxedge-{port}'}"
        {config}""")
    return start(stack, [program, "run", "--config", path], core, port)


def callback_edge(stack: contextlib.ExitStack, app_port: int, held_port: int, program: Path = PROGRAM,
                  admin: int = 0) -> "tuple[int, subprocess.Popen]":
    config = ""
    for name, appid in APPIDS.items():
        mode = "plain" if name == "plain" else "safe"
        config += f"""
        [accounts.{name}]
        appid = "{appid}"
        token = "{TOKEN}"
        encoding_aes_keys = ["{AES_KEY}"]
        mode = "{mode}"
        source_ip = "off"
        [accounts.{name}.upstream]
        url = "http://127.0.0.1:{held_port if name == 'held' else app_port}/"
        max_connections = {HELD + 1000}
        """
    port = free_port()
    return port, wxedge(stack, {"callback": port, "admin": admin}, config, program)


def api_edge(stack: contextlib.ExitStack, wechat_port: int, key: str = "", more: str = "") -> "tuple[int, subprocess.Popen]":
    client = f"""
        [clients.bench]
        key = "{key}"
        accounts = ["main"]
        allow = ["/cgi-bin/**"]
        rate_per_second = 1_000_000"""
    port = free_port()
    return port, wxedge(stack, {"api": port}, f"""
        [wechat]
        api_base = ["http://127.0.0.1:{wechat_port}"]
        [accounts.main]
        appid = "{APPIDS['safe']}"
        token = "{TOKEN}"
        encoding_aes_keys = ["{AES_KEY}"]
        secret = "0123456789abcdef0123456789abcdef"
        upstream.url = "builtin:echo"
        {client if key else ''}
        {more}""")


def never_answers(stack: contextlib.ExitStack) -> int:
    """An app that takes requests and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=HELD)
    stack.callback(listener.close)
    taken = []

    def accept():
        with contextlib.suppress(OSError):
            while True:
                taken.append(listener.accept())

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def start_callbacks(stack: contextlib.ExitStack) -> "list[Server]":
    app_port, app = nginx(stack, LOAD_CORE, f"location / {{ return 200 '{ANSWER}'; }}")
    nginx_port, nginx_process = nginx_proxy(stack, app_port)
    pass_port, pass_process = pingora_pass(stack, app_port)
    edge_port, edge = callback_edge(stack, app_port, never_answers(stack))

    peer = {"BENCH_TOKEN": TOKEN, "BENCH_AES_KEY": AES_KEY, "BENCH_APPID": APPIDS["safe"]}
    fastapi_port = free_port()
    fastapi = start(stack, [WORK / "venv/bin/python", "-m", "uvicorn", "peer_fastapi:app", "--app-dir", HERE,
                            "--port", fastapi_port, "--loop", "uvloop", "--http", "httptools", "--no-access-log",
                            "--log-level", "warning"], SERVER_CORE, fastapi_port, peer)
    koa_port = free_port()
    koa = start(stack, ["node", HERE / "peer_koa.js"], SERVER_CORE, koa_port,
                {**peer, "PORT": str(koa_port), "NODE_ENV": "production", "NODE_PATH": str(WORK / "node_modules")})

    return [
        Server("nginx proxy_pass", "pass", "/", nginx_port, nginx_process, app),
        Server("Pingora pass-through", "pass", "/", pass_port, pass_process, app),
        Server("wxedge plain", "plain", "/wechat/plain", edge_port, edge, app),
        Server("wxedge safe", "safe", "/wechat/safe", edge_port, edge, app),
        Server("FastAPI + wechatpy", "safe", "/wechat", fastapi_port, fastapi, None),
        Server("koa + co-wechat", "safe", "/wechat", koa_port, koa, None),
    ]


def start_two(stack: contextlib.ExitStack, other: Path) -> "list[Server]":
    """Safe callbacks of this wxedge and of another."""
    app_port, app = nginx(stack, LOAD_CORE, f"location / {{ return 200 '{ANSWER}'; }}")
    edges = {name: callback_edge(stack, app_port, app_port, program) for name, program in (("this", PROGRAM), ("other", other))}
    return [Server(f"wxedge, {name}", "safe", "/wechat/safe", port, edge, app) for name, (port, edge) in edges.items()]


def start_watched(stack: contextlib.ExitStack) -> "list[Server]":
    """Safe callbacks of an edge that nobody watches, and of one with a sidecar."""
    app_port, app = nginx(stack, LOAD_CORE, f"location / {{ return 200 '{ANSWER}'; }}")
    servers = []
    for name in ("alone", "watched"):
        admin = free_port()
        port, edge = callback_edge(stack, app_port, app_port, admin=admin)
        beside = sidecar(stack, admin, port) if name == "watched" else None
        servers.append(Server(f"wxedge {name}", "safe", "/wechat/safe", port, edge, app, beside=beside))
    return servers


def sidecar(stack: contextlib.ExitStack, admin: int, callback: int) -> subprocess.Popen:
    port = free_port()
    path = WORK / f"sidecar-{port}.toml"
    path.write_text(f"""
        listen = "127.0.0.1:{port}"
        data = "{WORK}/sidecar-{port}"
        [edge]
        admin = "http://127.0.0.1:{admin}"
        [probe]
        dns_resolvers = []
        public_url.safe = "http://127.0.0.1:{callback}/wechat/safe"
        """)
    return start(stack, [RELEASE / "wxedge-sidecar", "run", "--config", path], LOAD_CORE, port)


def wechat(stack: contextlib.ExitStack) -> "tuple[int, subprocess.Popen]":
    """nginx that answers as WeChat does. It reads an upload whole: `return` alone would answer before."""
    ok = """return 200 '{"errcode":0,"errmsg":"ok"}';"""
    return nginx(stack, LOAD_CORE, f"""
        location = /cgi-bin/stable_token {{ return 200 '{{"access_token":"{'t' * 136}","expires_in":7200}}'; }}
        location = /read {{ {ok} }}
        location /cgi-bin/media/ {{
            client_body_buffer_size 11m; proxy_pass_request_body off; proxy_set_header Content-Length "";
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://127.0.0.1:$server_port/read;
        }}
        location /main/cgi-bin/media/ {{ rewrite ^/main(.*) $1; }}
        location / {{ {ok} }}""")


def start_api(stack: contextlib.ExitStack) -> "tuple[list[Server], list[Server]]":
    """The servers of small calls, and those of uploads."""
    port, app = wechat(stack)
    # Streams, as the others do.
    streaming = "proxy_request_buffering off; client_body_buffer_size 64k;"
    proxies = [
        ("nginx proxy_pass", "", nginx_proxy(stack, port, streaming)),
        ("Pingora pass-through", "", pingora_pass(stack, port)),
        ("wxedge", "", api_edge(stack, port)),
        ("wxedge, client's key", CLIENT_KEY, api_edge(stack, port, CLIENT_KEY)),
    ]

    def servers(kind: str, path: str, connections: int) -> "list[Server]":
        return [Server(name, kind, f"/main/cgi-bin/{path}", port, process, app, connections, key)
                for name, key, (port, process) in proxies]

    return servers("message", "message/custom/send", CONNECTIONS), servers("upload", "media/upload", 4)
