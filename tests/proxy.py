"""Trouble between a client and a real tracking server."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path


class Proxy:
    """Between client and server. mode: `pass`; `refuse` connections; `stall`: swallow requests; `drop`: pass requests
    on, and hang up when the server answers; `drop one`: hang up once. trouble: what has been refused, swallowed or
    dropped."""

    def __init__(self, port: int) -> None:
        self._server, self._mode, self._before, self.trouble = port, "pass", 0, collections.Counter()
        self._mutex = threading.Lock()
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: str, before: int = 0) -> None:
        """`before`: pieces of answers that arrive before `drop one`."""
        self._mode, self._before = mode, before

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._mode == "refuse":
                self.trouble["refuse"] += 1
                # A reset at once, which is what a closed port answers.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                continue
            behind = socket.create_connection(("127.0.0.1", self._server))
            for source, sink, spoils in ((client, behind, ("stall", "refuse")), (behind, client, ("drop", "drop one"))):
                threading.Thread(target=self._pump, args=(source, sink, spoils), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, spoils: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                mode = self._mode
                if mode in spoils and (mode != "drop one" or self._is_the_one()):
                    self.trouble[mode] += 1
                    if mode == "stall":
                        continue
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_the_one(self) -> bool:
        with self._mutex:
            self._before -= 1
            if self._before >= 0:
                return False
            self._mode = "pass"
            return True


@contextlib.contextmanager
def tracking_server(folder: Path) -> Iterator[int]:
    """Port of a server that keeps everything in a folder, where mlflow.db may stand already."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
    # Eight more processes, for what is not used here.
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", f"--backend-store-uri=sqlite:///{folder / 'mlflow.db'}",
            f"--artifacts-destination={folder / 'artifacts'}", "--host=127.0.0.1", f"--port={port}", "--workers=1",
        ],
        cwd=folder, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        time.sleep(0.1)
    yield port
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
