"""The real server over a packaged model: what a stranger can send to its port."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def server(packaged, tmp_path_factory) -> int:
    """Port of `mlflow models serve` as the README starts it, with small limits and pickle switched off."""
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ARTISTS_", "MLFLOW_"))}
    environment |= {"ARTISTS_MAX_SECONDS": "30", "ARTISTS_MAX_MB": "2", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(packaged), "--env-manager=local"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, f"--port={port}"],
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=log.parent,
        )
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            said = ""
            while "Application startup complete" not in said:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                said += lines.read()
                assert process.returncode is None, said
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def post(port: int, body: object, content_type: str = "application/json") -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", "/invocations", data, {"Content-Type": content_type})
    response = connection.getresponse()
    text = response.read()
    return response.status, json.loads(text)


def rows(*records: dict, **params: object) -> dict:
    return {"dataframe_records": list(records), "params": params}


@pytest.fixture(scope="module")
def flac(tmp_path_factory, tone, write_audio) -> bytes:
    return write_audio(tmp_path_factory.mktemp("audio") / "x.flac", tone(seconds=2.2)).read_bytes()


def test_base64_audio_is_answered_in_either_column(server, flac):
    text = base64.b64encode(flac).decode()
    status, answer = post(server, rows({"base64": text}, top_k=2, embedding=True))
    (row,) = answer["predictions"]
    assert status == 200 and row["status"] == "ok" and row["clips"] == 2 and len(row["top_artists"]) == 2
    assert row["artist"] == row["top_artists"][0] and len(row["embedding"]) == 8
    status, answer = post(server, rows({"audio": text}))
    assert status == 200 and answer["predictions"][0]["probability"] == pytest.approx(row["probability"])


def test_no_request_reads_a_file_of_the_host(server):
    secret = Path("/etc/hostname")
    for path in (str(secret), f"file://{secret}", "../../etc/hostname", "."):
        params = {"root": "/", "ARTISTS_AUDIO_ROOT": "/", "allow_path": True}
        status, answer = post(server, rows({"path": path}, **params))
        assert status >= 400 or answer["predictions"][0]["status"] == "error", path
        if secret.is_file():
            assert secret.read_text().strip() not in json.dumps(answer) or not secret.read_text().strip()


def test_whatever_is_sent_gets_a_row_or_a_refusal_and_the_server_lives(server, flac):
    nan = np.full(4000, np.nan, np.float32).tobytes()
    bad = [b"", b"RIFF", flac[:500], flac[:40] + nan, b"\xff" * 5000, nan, b"<html>", flac[::-1]]
    for data in bad:
        status, answer = post(server, rows({"base64": base64.b64encode(data).decode()}))
        (row,) = answer["predictions"]
        assert status == 200 and (row["status"] in ("ok", "padded") or row["reason"]), data[:20]
    for text in ("!!!", "A", "ÄÖ", "===="):
        status, answer = post(server, rows({"base64": text}))
        assert status == 200 and answer["predictions"][0]["status"] == "error" and answer["predictions"][0]["reason"]
        status, answer = post(server, rows({"audio": text}))
        assert 400 <= status < 500 or answer["predictions"][0]["status"] == "error"
    refused = [
        b"", b"no json", b"\xff\xfe", b"[]", b"{}", b'{"dataframe_records": 3}', rows({"audio": None}),
        rows({"base64": 5, "start": "soon"}), rows({"base64": "AAAA"}, top_k=0), rows({"base64": "AAAA"}, pooling="x"),
    ]  # fmt: skip
    for body in refused:
        status, _ = post(server, body)
        assert 400 <= status < 500, body
    status, _ = post(server, rows({"base64": "A" * 3_000_000}))
    assert status == 200
    status, answer = post(server, rows({"base64": base64.b64encode(flac).decode()}))
    assert status == 200 and answer["predictions"][0]["status"] == "ok"


def test_the_proxy_admits_what_the_readme_says_and_nothing_else():
    text = (PROJECT / "docker" / "proxy.conf").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))
    assert code.count("{") == code.count("}")
    assert re.search(r"client_max_body_size\s+\d+m;", code) and re.search(r"location / \{\s+return 404;", code)
    assert re.findall(r"location = (\S+)", code) == ["/invocations", "/health"]
    assert re.findall(r"listen (\S+);", code) == ["127.0.0.1:8080"]
