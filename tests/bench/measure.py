"""Measuring: slices of load, memory, and the protocol crate's own benchmark."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

from processes import LOAD_CORE, RELEASE, ROOT, TARGET, busy_s, cpu_s, free_port, pinned, rss_mb, signal_tree, tree
from servers import AES_KEY, ANSWER, APPIDS, HELD, TOKEN, UNBOUNDED, Server, callback_edge, never_answers, nginx

WARMUP_S = 0.3
FOREIGN = 0.05
TRIES = 3
LONG_REQUESTS = 4_000_000
# Before the deadline of 4.3 s.
HELD_SECONDS = 4


class Load:
    """A bench-load that has warmed its server up and waits to be let go."""

    def __init__(self, server: Server, seconds: float, connections=None, requests=UNBOUNDED, warmup=WARMUP_S):
        appid = APPIDS.get(server.path.rpartition("/")[2], APPIDS["safe"])
        command = [RELEASE / "bench-load", "--target", f"127.0.0.1:{server.port}", "--path", server.path,
                   "--kind", server.kind, "--key", server.key, "--token", TOKEN, "--aes-key", AES_KEY, "--appid", appid,
                   "--connections", connections or server.connections, "--warmup", warmup, "--seconds", seconds, "--requests", requests]
        self.name = server.name
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=pinned(LOAD_CORE), text=True, start_new_session=True)
        self.read()

    def read(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench-load failed on {self.name}")
        return line

    def go(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def done(self, wait_s: float) -> bool:
        # Not select(): with thousands of sockets here the number of the pipe is too high for it.
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        return bool(poll.poll(wait_s * 1000))

    def result(self) -> dict:
        result = json.loads(self.read())
        self.process.wait()
        return result


def run_slice(server: Server, seconds: float) -> dict:
    """One measured slice. Only this server and its app run."""
    processes = [process for process in (server.process, server.app, server.beside) if process]
    pids = tree(server.process.pid)
    beside = [server.beside.pid] if server.beside else []
    for process in processes:
        signal_tree(process, signal.SIGCONT)
    load = Load(server, seconds)
    involved = [pid for process in processes for pid in tree(process.pid)] + [load.process.pid, os.getpid()]
    busy, all_cpu, cpu, beside_cpu = busy_s(), cpu_s(involved), cpu_s(pids), cpu_s(beside)
    load.go()
    # Blocks until the line is there; bench-load then still exists, so its CPU time can be read.
    load.done(seconds + 30)
    cpu, all_cpu, busy = cpu_s(pids) - cpu, cpu_s(involved) - all_cpu, busy_s() - busy
    beside_cpu = cpu_s(beside) - beside_cpu
    result = load.result()
    result |= {"rss_mb": rss_mb(pids), "foreign": max(0.0, busy - all_cpu) / (os.cpu_count() * result["seconds"]),
               "cpu_us": cpu * 1e6 / result["requests"], "rps": result["requests"] / result["seconds"],
               "beside_mb": rss_mb(beside), "beside_share": beside_cpu / result["seconds"]}
    for process in processes:
        signal_tree(process, signal.SIGSTOP)
    return result


def measure(servers: "list[Server]", rounds: int, seconds: float):
    for server in servers:
        signal_tree(server.process, signal.SIGSTOP)
    for server in servers:
        # Compilers at run time need a while to get fast; tables and pools to fill.
        run_slice(server, seconds)
    for number in range(rounds):
        order = servers[number % len(servers):] + servers[:number % len(servers)]
        for server in order if number % 2 == 0 else reversed(order):
            for _ in range(TRIES):
                result = run_slice(server, seconds)
                if result["foreign"] <= FOREIGN:
                    break
            server.slices.append(result)
            print(f"round {number + 1}/{rounds}  {server.kind:8} {server.name:22} {result['cpu_us']:8.1f} us CPU  {result['rps']:9.0f} req/s"
                  f"  p50 {result['p50_us']:6} us  p99 {result['p99_us']:6} us  {result['rss_mb']:6.1f} MB"
                  f"  others {result['foreign']:4.0%}", flush=True)


def measure_held() -> dict:
    """Callbacks that wait for an app that never answers, until the edge answers for it."""
    with contextlib.ExitStack() as stack:
        # As many sockets again stand in this process, at the far end.
        port, process = callback_edge(stack, free_port(), never_answers(stack))
        server = Server("wxedge held", "held", "/wechat/held", port, process, None)
        Load(server, 10, connections=1, requests=1, warmup=0.01).process.kill()
        idle = peak = rss_mb([process.pid])
        load = Load(server, 10, connections=HELD, requests=HELD, warmup=0)
        load.go()
        begun = time.monotonic()
        # What comes after that is the spool's: all of them at once.
        while time.monotonic() - begun < HELD_SECONDS and not load.done(0.05):
            peak = max(peak, rss_mb([process.pid]))
        return load.result() | {"idle_mb": idle, "peak_mb": peak, "spooled_mb": rss_mb([process.pid])}


def measure_long() -> "list[tuple[int, float]]":
    """Resident memory after every tenth of so many different callbacks: twice as many as an account remembers."""
    with contextlib.ExitStack() as stack:
        app_port, _ = nginx(stack, LOAD_CORE, f"location / {{ return 200 '{ANSWER}'; }}")
        port, process = callback_edge(stack, app_port, app_port)
        server = Server("wxedge long", "safe", "/wechat/safe", port, process, None)
        sizes = [(0, rss_mb([process.pid]))]
        for tenth in range(1, 11):
            load = Load(server, 3_600, requests=LONG_REQUESTS // 10, warmup=0)
            load.go()
            load.result()
            sizes.append((LONG_REQUESTS // 10 * tenth, rss_mb([process.pid])))
            print(f"{sizes[-1][0]:8} callbacks  {sizes[-1][1]:6.1f} MB", flush=True)
        return sizes


def measure_protocol() -> "dict[str, float]":
    """Nanoseconds of the protocol work of one callback, from the protocol crate's own benchmark."""
    command = ["cargo", "bench", "--package", "wxedge-wechat", "--bench", "protocol", "--", "^(inbound|outbound)$"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    times = {}
    for direction in ("inbound", "outbound"):
        estimates = json.loads((TARGET / "criterion" / direction / "new/estimates.json").read_text())
        times[direction] = estimates["median"]["point_estimate"]
    return times
