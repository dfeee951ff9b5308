"""Memory of transfers that stand still half-way, up and down, because the far end takes or gives no more."""

import contextlib
import json
import socket
import threading
import time

from processes import rss_mb
from servers import api_edge

TRANSFERS = 32
BYTES = 20 * 2**20
HALF = BYTES // 2
PART = bytes(2**20)


class Wechat:
    """Answers the token endpoint; takes `HALF` of every upload, then stands still until it is let go."""

    def __init__(self, stack: contextlib.ExitStack):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=TRANSFERS)
        stack.callback(self.listener.close)
        self.port = self.listener.getsockname()[1]
        self.standing = threading.Semaphore(0)
        self.go_on = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=[self.listener.accept()[0]], daemon=True).start()

    def serve(self, connection: socket.socket):
        with connection, contextlib.suppress(OSError):
            taken = connection.recv(2**16)
            if taken.startswith(b"POST /cgi-bin/media/upload"):
                read(connection, HALF)
                self.standing.release()
                self.go_on.wait()
            elif taken.startswith(b"GET /cgi-bin/media/get"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % BYTES)
                send(connection, BYTES)
            else:
                body = json.dumps({"access_token": "t" * 136, "expires_in": 7200}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                   b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def send(connection: socket.socket, count: int):
    for _ in range(count // len(PART)):
        connection.sendall(PART)


def read(connection: socket.socket, count: int):
    while count > 0:
        taken = connection.recv(min(count, len(PART)))
        if not taken:
            raise OSError("closed")
        count -= len(taken)


def upload(port: int):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"POST /main/cgi-bin/media/upload HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                       b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n" % BYTES)
    with contextlib.suppress(OSError):
        send(connection, BYTES)


def download(port: int, standing: threading.Semaphore):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"GET /main/cgi-bin/media/get?media_id=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    read(connection, HALF)
    standing.release()
    time.sleep(3600)


def measure_transfers() -> "dict[str, float]":
    """KiB of resident memory that a transfer takes, over idle."""
    with contextlib.ExitStack() as stack:
        wechat = Wechat(stack)
        stack.callback(wechat.go_on.set)
        # Without copies for a repetition: they have a bound of their own.
        port, process = api_edge(stack, wechat.port, more="[api]\nreplay_bytes = 0")
        settled(port)
        idle = rss_mb([process.pid])
        grown = {}
        for name, transfer, arguments in (("download", download, [port, wechat.standing]), ("upload", upload, [port])):
            for _ in range(TRANSFERS):
                threading.Thread(target=transfer, args=arguments, daemon=True).start()
            for _ in range(TRANSFERS):
                wechat.standing.acquire()
            settled(port)
            grown[name] = (rss_mb([process.pid]) - idle) * 1024 / TRANSFERS
        # They are held together: each direction counts what it added.
        grown["upload"] -= grown["download"]
        return grown


def settled(port: int):
    """Lets buffers fill, and the allocator give back what is free: it looks now and then, when it is asked for something."""
    for _ in range(40):
        time.sleep(0.05)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /main/cgi-bin/token HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            while connection.recv(4096):
                pass
