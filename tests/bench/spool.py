"""The spool: how fast messages become durable, what a million of them cost, how soon one goes out when the app is back."""

import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

from measure import Load
from processes import HERE, LOAD_CORE, ROOT, WORK, free_port, pinned, rss_mb
from servers import AES_KEY, APPIDS, TOKEN, Server, nginx, wxedge

# What bench-spool measures.
TASKS = ("1", "32", "256", "1000", "half")
BACKLOG = 1_000_000
REDELIVERIES = 10
DRAIN_S = 8
# Callbacks while the spool drains come on few connections: what they wait for is the spool, not each other.
LIVE_CONNECTIONS = 2


def bench_spool(*arguments, slow: bool = False) -> str:
    """What bench-spool prints. `slow`: with 2 ms more for every sync of the disk."""
    build = ["cargo", "build", "--release", "--package", "wxedge-tests", "--bench", "bench-spool", "--message-format", "json"]
    built = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    program = next(message["executable"] for message in map(json.loads, built.splitlines())
                   if message.get("target", {}).get("name") == "bench-spool")
    environment = dict(os.environ)
    if slow:
        library = WORK / "sync_slow.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, HERE / "sync_slow.c"], check=True)
        environment["LD_PRELOAD"] = str(library)
    done = subprocess.run([program, *map(str, arguments)], env=environment, check=True, stdout=subprocess.PIPE, text=True,
                          preexec_fn=pinned(None))
    return done.stdout


def measure_acknowledgements(rounds: int, seconds: float) -> "dict[str, list[dict]]":
    """Turns of the store and of the append log, by disk."""
    turns = {}
    for disk, slow in (("its own speed", False), ("2 ms more a sync", True)):
        folder = WORK / f"acknowledge-{os.getpid()}"
        folder.mkdir()
        lines = bench_spool("acknowledge", folder, rounds, seconds, slow=slow).splitlines()
        shutil.rmtree(folder)
        print(*lines, sep="\n", flush=True)
        turns[disk] = [json.loads(line) for line in lines]
    return turns


class Edge:
    """An edge with one account, whose app is at a port where nobody may listen yet."""

    def __init__(self, stack: contextlib.ExitStack, app_port: int, store=None):
        port, self.admin = free_port(), free_port()
        begun = time.monotonic()
        self.process = wxedge(stack, {"callback": port, "admin": self.admin}, f"""
            [accounts.held]
            appid = "{APPIDS['held']}"
            token = "{TOKEN}"
            encoding_aes_keys = ["{AES_KEY}"]
            source_ip = "off"
            upstream.url = "http://127.0.0.1:{app_port}/"
            """, store=store, core=None)
        while not self.is_ready():
            time.sleep(0.005)
        self.ready_s = time.monotonic() - begun
        # Every callback ends with `success`, whether the app takes it or the spool.
        self.server = Server("wxedge spool", "held", "/wechat/held", port, self.process, None)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def is_ready(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return bool(self.get("/readyz"))
        return False

    def metric(self, series: str) -> float:
        return float(re.search(re.escape(series) + r" (\S+)", self.get("/metrics"))[1])

    def taken(self) -> float:
        return self.metric('wxedge_redeliveries_total{account="held",result="taken"}')

    def rss_mb(self) -> float:
        return rss_mb([self.process.pid])

    def live_p99_ms(self) -> float:
        load = Load(self.server, DRAIN_S, connections=LIVE_CONNECTIONS)
        load.go()
        return load.result()["p99_us"] / 1000


def measure_backlog() -> dict:
    """A start with a million pending messages, and how they go out once the app is there."""
    store = WORK / f"backlog-{os.getpid()}"
    bench_spool("fill", store, APPIDS["held"], BACKLOG)
    with contextlib.ExitStack() as stack:
        app_port = free_port()
        edge = Edge(stack, app_port, store)
        measured = {"ready_s": edge.ready_s, "ready_mb": edge.rss_mb()}
        time.sleep(10)
        measured["waiting_mb"] = edge.rss_mb()

        nginx(stack, LOAD_CORE, "location / { return 200 ''; }", port=app_port)
        while edge.taken() < 1_000:
            time.sleep(0.01)
        begun, taken, largest = time.monotonic(), edge.taken(), 0
        while time.monotonic() < begun + DRAIN_S:
            time.sleep(0.25)
            largest = max(largest, edge.rss_mb())
        measured |= {"drained_a_second": (edge.taken() - taken) / (time.monotonic() - begun), "draining_mb": largest,
                     "p99_ms": edge.live_p99_ms()}
    shutil.rmtree(store)
    with contextlib.ExitStack() as stack:
        app_port, _ = nginx(stack, LOAD_CORE, "location / { return 200 ''; }")
        measured["idle_p99_ms"] = Edge(stack, app_port).live_p99_ms()
    print(measured, flush=True)
    return measured


class App:
    """An app that takes everything, and remembers when it began and when the first request came."""

    def __init__(self, port: int):
        self.connections = []
        self.came = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.began = time.monotonic()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                self.connections.append(connection)
                threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection: socket.socket):
        with contextlib.suppress(OSError):
            while connection.recv(2**16):
                if not self.came.is_set():
                    self.first_s = time.monotonic() - self.began
                    self.came.set()
                # Requests are small and come in one piece.
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def kill(self):
        for end in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def measure_redelivery() -> "list[float]":
    """Seconds from when the app listens again until it gets the first message, after it died under load."""
    waits = []
    with contextlib.ExitStack() as stack:
        port = free_port()
        app = App(port)
        edge = Edge(stack, port)
        for _ in range(REDELIVERIES):
            load = Load(edge.server, 0.6, connections=8, warmup=0)
            load.go()
            time.sleep(0.2)
            app.kill()
            load.result()
            while edge.metric('wxedge_circuit_state{account="held",state="closed"}'):
                time.sleep(0.01)
            # At any moment between two probes.
            time.sleep(random.random())
            app = App(port)
            app.came.wait(60)
            waits.append(app.first_s)
            while edge.metric('wxedge_spool_entries{account="held",state="pending"}'):
                time.sleep(0.05)
        app.kill()
    print("first redelivery after", *(f"{wait:.2f}" for wait in waits), "s", flush=True)
    return waits
