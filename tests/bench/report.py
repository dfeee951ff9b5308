"""RESULTS.md."""

import os
import platform
import shutil
import statistics
import subprocess
from datetime import date
from pathlib import Path

from measure import FOREIGN, LONG_REQUESTS
from processes import ROOT, WORK
from servers import CONNECTIONS, HELD, Server
from spool import BACKLOG, LIVE_CONNECTIONS, TASKS

# Exact versions, so that two runs compare the same things. WeChat's libraries are the newest stable ones.
PYTHON_PEER = ["fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0", "wechatpy==1.8.18",
               "cryptography==50.0.2"]
NODE_PEER = ["koa@3.3.0", "co-wechat@2.4.0"]


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


def named(servers: "list[Server]", *names: str) -> "list[Server]":
    return [next(server for server in servers if server.name == name) for name in names]


def table(servers: "list[Server]") -> "list[str]":
    nginx_row, pingora = named(servers, "nginx proxy_pass", "Pingora pass-through")
    lines = ["| | CPU µs/request | ÷ Pingora | ÷ nginx | requests/s | p50 ms | p99 ms | memory MB |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for server in servers:
        lines.append(f"| {server.name} | {median(server, 'cpu_us'):,.1f} | {ratio(server, pingora):.2f} | "
                     f"{ratio(server, nginx_row):.2f} | "
                     f"{median(server, 'rps'):,.0f} | {median(server, 'p50_us') / 1000:.2f} | "
                     f"{median(server, 'p99_us') / 1000:.2f} | {median(server, 'rss_mb'):.1f} |")
    return lines


def callback_targets(servers, protocol, held, long) -> "list[tuple]":
    pingora, safe, fastapi = named(servers, "Pingora pass-through", "wxedge safe", "FastAPI + wechatpy")
    targets = [
        ("CPU of a safe callback ÷ Pingora pass-through", f"{ratio(safe, pingora):.2f}", "≤ 1.15 (stretch 1.00)",
         ratio(safe, pingora) <= 1.15),
        ("CPU of FastAPI + wechatpy ÷ a safe callback", f"{ratio(fastapi, safe):.1f}", "≥ 12", ratio(fastapi, safe) >= 12),
    ]
    if protocol:
        share = sum(protocol.values()) / 1000 / median(safe, "cpu_us")
        targets.append((f"protocol work ({protocol['inbound'] / 1000:.1f} µs in, {protocol['outbound'] / 1000:.1f} µs out) "
                        "in the CPU of a safe callback", f"{share:.0%}", "≤ 15 %", share <= 0.15))
    grown = held["peak_mb"] - held["idle_mb"]
    targets.append((f"memory of {HELD:,} callbacks held until the deadline, over idle ({held['idle_mb']:.0f} MB; "
                    f"{held['spooled_mb']:.0f} MB when all are in the spool)",
                    f"{grown:.0f} MB", "≤ 80 MB", grown <= 80))
    if long:
        # Tables that are bounded are full before the middle: what grows after it grows for ever.
        grown = long[-1][1] - long[len(long) // 2][1]
        targets.append((f"memory growth over the second half of {LONG_REQUESTS / 1e6:.0f} million callbacks "
                        f"({' → '.join(f'{size:.0f}' for _, size in long)} MB)", f"{max(grown, 0):.1f} MB", "none", grown < 1))
    return targets


def api_targets(calls, uploads, transfers) -> "list[tuple]":
    targets = []
    for what, servers, most in (("a JSON call", calls, 1.15), ("a 10 MiB upload", uploads, 1.05)):
        pingora, keyless, keyed = named(servers, "Pingora pass-through", "wxedge", "wxedge, client's key")
        for by, server in (("", keyless), (" with a client's key", keyed)):
            targets.append((f"CPU of {what}{by} ÷ Pingora pass-through", f"{ratio(server, pingora):.2f}", f"≤ {most}",
                            ratio(server, pingora) <= most))
    for name, kib in transfers.items():
        targets.append((f"memory of {'an' if name[0] in 'aeiou' else 'a'} {name} that stands still half-way", f"{kib:.0f} KiB",
                        "≤ 512 KiB", kib <= 512))
    return targets


def sidecar_targets(alone: Server, watched: Server) -> "list[tuple]":
    cost = ratio(watched, alone)
    rate, share, size = (median(watched, key) for key in ("rps", "beside_share", "beside_mb"))
    return [
        ("CPU of a safe callback with a sidecar ÷ without", f"{cost:.3f}", "≤ 1.02", cost <= 1.02),
        (f"the sidecar's share of a core at {rate:,.0f} callbacks/s", f"{share:.2%}", "≤ 1 % at 5,000", share <= 0.01),
        ("the sidecar's memory", f"{size:.1f} MB", "≤ 30 MB", size <= 30),
    ]


class Turns:
    """What the store did beside the append log on a disk, with so many tasks."""

    def __init__(self, turns: "list[dict]", tasks: str):
        self.store, self.log = ([turn for turn in turns if turn["target"] == target and turn["tasks"] == tasks]
                                for target in ("store", "log"))

    def ratio(self) -> float:
        return statistics.median(store["rate"] / log["rate"] for store, log in zip(self.store, self.log))

    def columns(self, side: "list[dict]") -> str:
        keys = ("rate", "cpu_us", "p50_us", "p99_us")
        rate, cpu, p50, p99 = (statistics.median(turn[key] for turn in side) for key in keys)
        return f"{rate:,.0f} | {cpu:.1f} | {p50 / 1000:.2f} / {p99 / 1000:.2f}"


def spool_lines(acknowledgements: "dict[str, list[dict]]", backlog: dict) -> "list[str]":
    lines = ["Durable acknowledgements of messages of 1 KiB at the store, and a bare append log with the same batching. \"half\" is",
             "half of the rate that 1,000 tasks reached. CPU is of those who wait, too.", "",
             "| disk | tasks | store /s | CPU µs | p50 / p99 ms | log /s | CPU µs | p50 / p99 ms | store ÷ log |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for disk, turns in acknowledgements.items():
        for tasks in TASKS:
            row = Turns(turns, tasks)
            ratio = f"{row.ratio():.2f}" if tasks != "half" else ""
            lines.append(f"| {disk} | {tasks} | {row.columns(row.store)} | {row.columns(row.log)} | {ratio} |")
    return lines + ["", f"A callback's p99 on {LIVE_CONNECTIONS} connections while the spool goes out: {backlog['p99_ms']:.1f} ms; with an empty "
                    f"spool {backlog['idle_p99_ms']:.1f} ms."]


def spool_targets(acknowledgements: "dict[str, list[dict]]", backlog: dict, redelivery: "list[float]") -> "list[tuple]":
    targets = []
    for disk, turns in acknowledgements.items():
        for tasks in ("256", "1000"):
            times = Turns(turns, tasks).ratio()
            targets.append((f"durable acknowledgements ÷ append log, {tasks} tasks, disk with {disk}", f"{times:.2f}", "≥ 0.5",
                            times >= 0.5))
        p99 = statistics.median(turn["p99_us"] for turn in Turns(turns, "half").store) / 1000
        targets.append((f"p99 of a durable acknowledgement at half load, disk with {disk}", f"{p99:.1f} ms", "≤ 25 ms", p99 <= 25))
    largest = max(backlog["ready_mb"], backlog["waiting_mb"], backlog["draining_mb"])
    slowest = max(redelivery)
    return targets + [
        (f"ready with {BACKLOG:,} pending messages", f"{backlog['ready_s']:.2f} s", "≤ 1 s", backlog["ready_s"] <= 1),
        (f"memory then ({backlog['ready_mb']:.0f} MB), 10 s later ({backlog['waiting_mb']:.0f} MB), while they go out "
         f"({backlog['draining_mb']:.0f} MB)", f"{largest:.0f} MB", "≤ 200 MB", largest <= 200),
        ("messages from the spool that the app takes in a second", f"{backlog['drained_a_second']:,.0f}", "≥ 5,000",
         backlog["drained_a_second"] >= 5_000),
        (f"first redelivery after the app is back, worst of {len(redelivery)} (median {statistics.median(redelivery):.2f} s)",
         f"{slowest:.2f} s", "≤ 1.5 s", slowest <= 1.5),
    ]


def report(tables: "dict[str, list[Server]]", spooled: "list[str]", targets: "list[tuple]", arguments: str) -> str:
    servers = [server for group in tables.values() for server in group]
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    versions = [
        version("rustc", "--version"), "Pingora 0.9.1",
        version(shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-v").replace("nginx version: ", "")]
    if "callbacks" in tables:
        versions += [version(WORK / "venv/bin/python", "--version"), f"node {version('node', '--version')}", *PYTHON_PEER, *NODE_PEER]
    lines = [
        "# What wxedge costs", "",
        "Written by `make bench`; how it measures stands at the top of `bench.py`. Compare ratios, not microseconds: those are",
        "the machine's.", "",
        f"* {date.today()}, commit {commit or 'none yet'}, `make bench" + (f' ARGS="{arguments}"`' if arguments else "`"),
        f"* {machine()}",
        f"* {', '.join(versions)}",
    ]
    if servers:
        lines.append(f"* {len(servers[0].slices)} rounds, {CONNECTIONS} connections (4 for uploads), one thread each on a core of "
                     "its own; medians")
    for name, group in tables.items():
        lines += ["", f"## {name[0].upper() + name[1:]}", "", *table(group)]
    if spooled:
        lines += ["", "## Spool", "", *spooled]
    lines += ["", "## Targets", "", "| target | measured | to reach | |", "|---|---:|---:|---|"]
    lines += [f"| {name} | {value} | {goal} | {'reached' if reached else '**missed**'} |" for name, value, goal, reached in targets]
    noisy = sum(result["foreign"] > FOREIGN for server in servers for result in server.slices)
    if noisy:
        lines += ["", f"In {noisy} of {len(servers) * len(servers[0].slices)} slices other programs took more than {FOREIGN:.0%} of the CPU."]
    return "\n".join(lines) + "\n"
