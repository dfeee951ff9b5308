"""Programs: started on a core, ended, and what the system says of them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = HERE / ".work"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"

SERVER_CORE, LOAD_CORE = 0, 1


def free_port(given=set()) -> int:
    """A port that nobody has, and that was not given before: who got it may not listen yet."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        if port not in given:
            given.add(port)
            return port


def pinned(core: "int | None"):
    """What a child does before it becomes the program: it keeps to a core, or to none."""
    def prepare():
        os.sched_setaffinity(0, range(os.cpu_count()) if core is None else {core})
    return prepare


def start(stack: contextlib.ExitStack, command: list, core: "int | None", port: int, environment: "dict | None" = None):
    """Starts a server, waits until it listens, and ends it when the stack ends."""
    name = Path(command[0]).name
    log = stack.enter_context(open(WORK / f"{name}-{port}.log", "w+"))
    # Its own session: Ctrl-C is for this script, which then ends what it started.
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=log, preexec_fn=pinned(core), start_new_session=True,
                               env={**os.environ, **(environment or {})})
    stack.callback(end, process)
    for _ in range(2_000):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process
        time.sleep(0.005)
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


def signal_tree(process: subprocess.Popen, number: int):
    for pid in tree(process.pid):
        os.kill(pid, number)


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
