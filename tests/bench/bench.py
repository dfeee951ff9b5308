#!/usr/bin/env python3
"""Measures wxedge beside nginx, plain Pingora, FastAPI + wechatpy and koa + co-wechat, in one interleaved run.

`make bench` builds what it needs and calls it. It asserts nothing about time: it prints, and writes RESULTS.md.

Every server has one thread on core 0. The load generator and the app behind the proxies share core 1. All servers run
from the start; those that are not being measured are stopped (SIGSTOP), so that none disturbs another. Each round
measures all of them for a short slice, in an order that changes from round to round; ratios are taken within a round and
their median over the rounds, so that a machine that is slow for a while does not favour anyone. A slice in which other
programs took more than FOREIGN of the CPU is repeated.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = HERE / ".work"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"

# Exact versions, so that two runs compare the same things. WeChat's libraries are the newest stable ones.
PYTHON_PEER = ["fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "wechatpy==1.8.18",
               "cryptography==50.0.2"]
NODE_PEER = ["koa@3.3.0", "co-wechat@2.4.0"]

TOKEN = "benchtoken"
AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APPIDS = {"safe": "wx0000000000000001", "plain": "wx0000000000000002", "held": "wx0000000000000003"}
ANSWER = '{"msgtype":"text","text":{"content":"hi"}}'

SERVER_CORE, LOAD_CORE = 0, 1
CONNECTIONS = 32
WARMUP_S = 0.3
FOREIGN = 0.05
TRIES = 3
HELD = 5_000
LONG_REQUESTS = 2_000_000
UNBOUNDED = 1_000_000_000


# --- the servers ---------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """One measured configuration: a process and how to ask it."""

    name: str
    kind: str  # what bench-load sends and expects
    path: str
    port: int
    process: subprocess.Popen
    app: "subprocess.Popen | None"  # the process behind it
    slices: list = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def pinned(core: int):
    """What a child does before it becomes the program."""
    def prepare():
        os.sched_setaffinity(0, {core})
    return prepare


def start(stack: contextlib.ExitStack, command: list, core: int, port: int, environment: "dict | None" = None):
    """Starts a server, waits until it listens, and ends it when the stack ends."""
    name = Path(command[0]).name
    log = stack.enter_context(open(WORK / f"{name}-{port}.log", "w+"))
    # Its own session: Ctrl-C is for this script, which then ends what it started.
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=log, preexec_fn=pinned(core), start_new_session=True,
                               env={**os.environ, **(environment or {})})
    stack.callback(end, process)
    for _ in range(200):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.05)
    log.seek(0)
    sys.exit(f"{name} did not start:\n{log.read()}")


def end(process: subprocess.Popen):
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def nginx(stack: contextlib.ExitStack, core: int, locations: str, upstream: str = "") -> "tuple[int, subprocess.Popen]":
    port = free_port()
    prefix = WORK / f"nginx-{port}"
    prefix.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (prefix / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid nginx.pid; error_log error.log; {user}
        events {{ worker_connections 16384; }}
        http {{
            access_log off; keepalive_timeout 1h; keepalive_requests {UNBOUNDED}; default_type application/json;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
            {upstream}
            server {{ listen 127.0.0.1:{port}; location / {{ {locations} }} }}
        }}""")
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return port, start(stack, [program, "-p", prefix, "-c", "nginx.conf", "-e", "error.log"], core, port)


def start_wxedge(stack: contextlib.ExitStack, app_port: int, held_port: int) -> "tuple[int, subprocess.Popen]":
    port = free_port()
    config = WORK / f"wxedge-{port}.toml"
    text = f"""
        [listen]
        callback = "127.0.0.1:{port}"
        api = "127.0.0.1:{free_port()}"
        admin = "127.0.0.1:{free_port()}"
        [runtime]
        threads = 1
        grace_s = 1
        upgrade_sock = "{WORK}/upgrade-{port}.sock"
        [store]
        url = "embedded:{WORK}/wxedge-{port}"
        """
    for name, appid in APPIDS.items():
        mode = "plain" if name == "plain" else "safe"
        text += f"""
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
    config.write_text(text)
    program = os.environ.get("WXEDGE_BIN", RELEASE / "wxedge")
    return port, start(stack, [program, "run", "--config", config], SERVER_CORE, port)


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


def start_all(stack: contextlib.ExitStack) -> "list[Server]":
    app_port, app = nginx(stack, LOAD_CORE, f"return 200 '{ANSWER}';")

    nginx_port, nginx_process = nginx(
        stack, SERVER_CORE,
        'proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";',
        f"upstream app {{ server 127.0.0.1:{app_port}; keepalive 128; keepalive_requests {UNBOUNDED}; keepalive_timeout 1h; }}")

    pass_port = free_port()
    pass_process = start(stack, [RELEASE / "bench-pass", f"127.0.0.1:{pass_port}", f"127.0.0.1:{app_port}"],
                         SERVER_CORE, pass_port)

    edge_port, edge = start_wxedge(stack, app_port, never_answers(stack))

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


# --- what the system says ------------------------------------------------------------------------------------------


def tree(pid: int) -> "list[int]":
    """A process and its descendants."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []
    return [pid] + [descendant for child in children for descendant in tree(child)]


def cpu_s(pids: "list[int]") -> float:
    """CPU time of all threads so far. schedstat counts nanoseconds, where utime + stime count hundredths of a second."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_mb(pids: "list[int]") -> float:
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


def busy_s() -> float:
    """CPU time of everything on this machine so far, and what the host took away."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


# --- measuring -----------------------------------------------------------------------------------------------------


class Load:
    """A bench-load that has warmed its server up and waits to be let go."""

    def __init__(self, server: Server, seconds: float, connections=CONNECTIONS, requests=UNBOUNDED, warmup=WARMUP_S):
        appid = APPIDS.get(server.path.rpartition("/")[2], APPIDS["safe"])
        command = [RELEASE / "bench-load", "--target", f"127.0.0.1:{server.port}", "--path", server.path,
                   "--kind", server.kind, "--token", TOKEN, "--aes-key", AES_KEY, "--appid", appid,
                   "--connections", connections, "--warmup", warmup, "--seconds", seconds, "--requests", requests]
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
        return bool(select.select([self.process.stdout], [], [], wait_s)[0])

    def result(self) -> dict:
        result = json.loads(self.read())
        self.process.wait()
        return result


def run_slice(server: Server, seconds: float) -> dict:
    """One measured slice. Only this server and its app run."""
    processes = [process for process in (server.process, server.app) if process]
    pids = tree(server.process.pid)
    for process in processes:
        signal_tree(process, signal.SIGCONT)
    load = Load(server, seconds)
    involved = [pid for process in processes for pid in tree(process.pid)] + [load.process.pid, os.getpid()]
    busy, all_cpu, cpu = busy_s(), cpu_s(involved), cpu_s(pids)
    load.go()
    # Blocks until the line is there; bench-load then still exists, so its CPU time can be read.
    load.done(seconds + 30)
    cpu, all_cpu, busy = cpu_s(pids) - cpu, cpu_s(involved) - all_cpu, busy_s() - busy
    result = load.result()
    result |= {"rss_mb": rss_mb(pids), "foreign": max(0.0, busy - all_cpu) / (os.cpu_count() * result["seconds"]),
               "cpu_us": cpu * 1e6 / result["requests"], "rps": result["requests"] / result["seconds"]}
    for process in processes:
        signal_tree(process, signal.SIGSTOP)
    return result


def signal_tree(process: subprocess.Popen, number: int):
    for pid in tree(process.pid):
        os.kill(pid, number)


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
            print(f"round {number + 1}/{rounds}  {server.name:22} {result['cpu_us']:8.1f} us CPU  {result['rps']:9.0f} req/s"
                  f"  p50 {result['p50_us']:6} us  p99 {result['p99_us']:6} us  {result['rss_mb']:6.1f} MB"
                  f"  others {result['foreign']:4.0%}", flush=True)


def measure_held() -> dict:
    """Callbacks that wait for an app that never answers, until the edge answers for it."""
    with contextlib.ExitStack() as stack:
        # As many sockets again stand in this process, at the far end.
        port, process = start_wxedge(stack, free_port(), never_answers(stack))
        server = Server("wxedge held", "held", "/wechat/held", port, process, None)
        Load(server, 10, connections=1, requests=1, warmup=0.01).process.kill()
        idle = peak = rss_mb([process.pid])
        load = Load(server, 10, connections=HELD, requests=HELD, warmup=0)
        load.go()
        while not load.done(0.05):
            peak = max(peak, rss_mb([process.pid]))
        return load.result() | {"idle_mb": idle, "peak_mb": peak}


def measure_long() -> "list[tuple[int, float]]":
    """Resident memory after every tenth of two million different callbacks."""
    with contextlib.ExitStack() as stack:
        app_port, _ = nginx(stack, LOAD_CORE, f"return 200 '{ANSWER}';")
        port, process = start_wxedge(stack, app_port, app_port)
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


# --- the report ----------------------------------------------------------------------------------------------------


def median(server: Server, key: str) -> float:
    return statistics.median(result[key] for result in server.slices)


def ratio(server: Server, base: Server, key: str = "cpu_us") -> float:
    return statistics.median(a[key] / b[key] for a, b in zip(server.slices, base.slices))


def version(*command) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def machine() -> str:
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, Linux {platform.release()}"


def report(servers, held, long, protocol, arguments) -> str:
    by_name = {server.name: server for server in servers}
    nginx_row, pingora, safe, fastapi = (
        by_name[name] for name in ("nginx proxy_pass", "Pingora pass-through", "wxedge safe", "FastAPI + wechatpy"))
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    lines = [
        "# What wxedge costs", "",
        "Written by `make bench`; how it measures stands at the top of `bench.py`. Compare ratios, not microseconds: those are",
        "the machine's.", "",
        f"* {date.today()}, commit {commit or 'none yet'}, `make bench" + (f' ARGS="{arguments}"`' if arguments else "`"),
        f"* {machine()}",
        f"* {version('rustc', '--version')}, Pingora 0.9.1, {version(shutil.which('nginx', path=os.environ['PATH'] + ':/usr/sbin'), '-v').replace('nginx version: ', '')}, "
        f"{version(WORK / 'venv/bin/python', '--version')}, node {version('node', '--version')}, {', '.join(PYTHON_PEER + NODE_PEER)}",
        f"* {len(safe.slices)} rounds, {CONNECTIONS} connections, one thread each on a core of its own; medians", "",
        "| | CPU µs/request | ÷ Pingora | ÷ nginx | requests/s | p50 ms | p99 ms | memory MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for server in servers:
        lines.append(f"| {server.name} | {median(server, 'cpu_us'):.1f} | {ratio(server, pingora):.2f} | "
                     f"{ratio(server, nginx_row):.2f} | "
                     f"{median(server, 'rps'):,.0f} | {median(server, 'p50_us') / 1000:.2f} | "
                     f"{median(server, 'p99_us') / 1000:.2f} | {median(server, 'rss_mb'):.1f} |")
    targets = [
        ("CPU of a safe callback ÷ Pingora pass-through", f"{ratio(safe, pingora):.2f}", "≤ 1.15 (stretch 1.00)",
         ratio(safe, pingora) <= 1.15),
        ("CPU of FastAPI + wechatpy ÷ a safe callback", f"{ratio(fastapi, safe):.1f}", "≥ 12", ratio(fastapi, safe) >= 12),
    ]
    if protocol:
        share = sum(protocol.values()) / 1000 / median(safe, "cpu_us")
        targets.append((f"protocol work ({protocol['inbound'] / 1000:.1f} µs in, {protocol['outbound'] / 1000:.1f} µs out) "
                        "in the CPU of a safe callback", f"{share:.0%}", "≤ 15 %", share <= 0.15))
    if held:
        grown = held["peak_mb"] - held["idle_mb"]
        targets.append((f"memory of {HELD:,} callbacks held until the deadline, over idle ({held['idle_mb']:.0f} MB)",
                        f"{grown:.0f} MB", "≤ 80 MB", grown <= 80))
    if long:
        # Tables that are bounded are full long before the middle: what grows after it grows for ever.
        grown = long[-1][1] - long[len(long) // 2][1]
        targets.append((f"memory growth over the second of {LONG_REQUESTS / 1e6:.0f} million callbacks "
                        f"({' → '.join(f'{size:.0f}' for _, size in long)} MB)", f"{max(grown, 0):.1f} MB", "none", grown < 1))
    lines += ["", "| target | measured | to reach | |", "|---|---:|---:|---|"]
    lines += [f"| {name} | {value} | {goal} | {'reached' if reached else '**missed**'} |" for name, value, goal, reached in targets]
    noisy = sum(result["foreign"] > FOREIGN for server in servers for result in server.slices)
    if noisy:
        lines += ["", f"In {noisy} of {len(servers) * len(safe.slices)} slices other programs took more than {FOREIGN:.0%} of the CPU."]
    return "\n".join(lines) + "\n"


# --- start ---------------------------------------------------------------------------------------------------------


def install_peers():
    """FastAPI and koa, once, into a folder that git ignores."""
    if not (WORK / "venv/ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", WORK / "venv"], check=True)
        subprocess.run([WORK / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON_PEER], check=True)
        (WORK / "venv/ready").touch()
    if not (WORK / "node_modules/ready").exists():
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", WORK, *NODE_PEER], check=True)
        (WORK / "node_modules/ready").touch()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2, help="length of a slice")
    parser.add_argument("--long", action="store_true", help="also send two million callbacks and watch the memory")
    parser.add_argument("--try", dest="trial", action="store_true", help="one round of half a second; writes nothing")
    arguments = parser.parse_args()
    if arguments.trial:
        arguments.rounds, arguments.seconds = 1, 0.5
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the servers, one for the load")

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    WORK.mkdir(exist_ok=True)
    install_peers()
    for leftover in WORK.glob("*-[0-9]*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    protocol = None if arguments.trial else measure_protocol()
    os.sched_setaffinity(0, {LOAD_CORE})
    with contextlib.ExitStack() as stack:
        servers = start_all(stack)
        measure(servers, arguments.rounds, arguments.seconds)
    held = measure_held()
    long = measure_long() if arguments.long else None
    text = report(servers, held, long, protocol, " ".join(sys.argv[1:]))
    print(f"\n{text}")
    if not arguments.trial:
        (HERE / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
