#!/usr/bin/env python3
"""Measures wxedge beside nginx, plain Pingora, FastAPI + wechatpy and koa + co-wechat, in one interleaved run: callbacks,
small API calls, uploads; and the spool beside a bare append log.

`make bench` builds what it needs and calls it. It asserts nothing about time: it prints, and writes RESULTS.md.

Every server has one thread on core 0. The load generator and the app behind the proxies share core 1. All servers run
from the start; those that are not being measured are stopped (SIGSTOP), so that none disturbs another. Each round
measures all of them for a short slice, in an order that changes from round to round; ratios are taken within a round and
their median over the rounds, so that a machine that is slow for a while does not favour anyone. A slice in which other
programs took more than FOREIGN of the CPU is repeated.

The spool's writers may use both cores. Store and log take turns, on the disk that this folder is on.
"""

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from measure import measure, measure_held, measure_long, measure_protocol
from processes import HERE, LOAD_CORE, WORK
from report import NODE_PEER, PYTHON_PEER, api_targets, callback_targets, ratio, report, sidecar_targets, spool_lines, spool_targets
from servers import start_api, start_callbacks, start_two, start_watched
from spool import measure_acknowledgements, measure_backlog, measure_redelivery
from transfers import measure_transfers


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
    parser.add_argument("--long", action="store_true", help="also send four million callbacks and watch the memory")
    parser.add_argument("--only", choices=["callbacks", "api", "spool", "sidecar"], help="measures one path; writes nothing")
    parser.add_argument("--against", type=Path, metavar="WXEDGE",
                        help="measures only what a callback costs beside another wxedge; writes nothing")
    parser.add_argument("--try", dest="trial", action="store_true", help="one round of half a second; writes nothing")
    arguments = parser.parse_args()
    if arguments.trial:
        arguments.rounds, arguments.seconds = 1, 0.5
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the servers, one for the load")

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    WORK.mkdir(exist_ok=True)
    for leftover in WORK.glob("*-[0-9]*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    if arguments.against:
        os.sched_setaffinity(0, {LOAD_CORE})
        with contextlib.ExitStack() as stack:
            this, other = start_two(stack, arguments.against)
            measure([this, other], arguments.rounds, arguments.seconds)
        print(f"\nCPU of a safe callback ÷ {arguments.against}: {ratio(this, other):.3f}")
        return

    with_callbacks, with_api, with_spool, with_sidecar = (
        arguments.only in (None, part) for part in ("callbacks", "api", "spool", "sidecar"))
    if with_callbacks:
        install_peers()
    protocol = measure_protocol() if with_callbacks and not arguments.trial else None
    os.sched_setaffinity(0, {LOAD_CORE})
    tables, spooled, targets = {}, [], []
    with contextlib.ExitStack() as stack:
        if with_callbacks:
            tables["callbacks"] = start_callbacks(stack)
        if with_api:
            tables["JSON calls"], tables["uploads of 10 MiB"] = start_api(stack)
        if tables:
            measure([server for group in tables.values() for server in group], arguments.rounds, arguments.seconds)
    if with_callbacks:
        long = measure_long() if arguments.long else None
        targets += callback_targets(tables["callbacks"], protocol, measure_held(), long)
    if with_api:
        targets += api_targets(tables["JSON calls"], tables["uploads of 10 MiB"], measure_transfers())
    if with_sidecar:
        with contextlib.ExitStack() as stack:
            alone, watched = start_watched(stack)
            # What is to be seen is small: twice as many rounds.
            measure([alone, watched], 2 * arguments.rounds, arguments.seconds)
        targets += sidecar_targets(alone, watched)
    if with_spool:
        acknowledgements = measure_acknowledgements(arguments.rounds, arguments.seconds / 4)
        backlog = measure_backlog()
        spooled = spool_lines(acknowledgements, backlog)
        targets += spool_targets(acknowledgements, backlog, measure_redelivery())
    text = report(tables, spooled, targets, " ".join(sys.argv[1:]))
    print(f"\n{text}")
    if not arguments.trial and not arguments.only:
        (HERE / "RESULTS.md").write_text(text)


if __name__ == "__main__":
    main()
