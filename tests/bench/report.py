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
    targets.append((f"memory of {HELD:,} callbacks held until the deadline, over idle ({held['idle_mb']:.0f} MB)",
                    f"{grown:.0f} MB", "≤ 80 MB", grown <= 80))
    if long:
        # Tables that are bounded are full long before the middle: what grows after it grows for ever.
        grown = long[-1][1] - long[len(long) // 2][1]
        targets.append((f"memory growth over the second of {LONG_REQUESTS / 1e6:.0f} million callbacks "
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


def report(tables: "dict[str, list[Server]]", targets: "list[tuple]", arguments: str) -> str:
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
        f"* {len(servers[0].slices)} rounds, {CONNECTIONS} connections (4 for uploads), one thread each on a core of its own; medians",
    ]
    for name, group in tables.items():
        lines += ["", f"## {name[0].upper() + name[1:]}", "", *table(group)]
    lines += ["", "## Targets", "", "| target | measured | to reach | |", "|---|---:|---:|---|"]
    lines += [f"| {name} | {value} | {goal} | {'reached' if reached else '**missed**'} |" for name, value, goal, reached in targets]
    noisy = sum(result["foreign"] > FOREIGN for server in servers for result in server.slices)
    if noisy:
        lines += ["", f"In {noisy} of {len(servers) * len(servers[0].slices)} slices other programs took more than {FOREIGN:.0%} of the CPU."]
    return "\n".join(lines) + "\n"
