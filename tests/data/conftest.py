"""A clean place for data (no folder, an empty cache) and a web server that can be told to misbehave."""

from __future__ import annotations

import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trustlib.data import DatasetSpec, FileSpec, access, fingerprints, registry


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """No data folder, an empty cache, nothing used, nothing remembered, and a registry that is put back."""
    monkeypatch.delenv("TRUSTLIB_DATA", raising=False)
    monkeypatch.delenv("TRUSTLIB_ACCEPT", raising=False)
    monkeypatch.setenv("TRUSTLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(access, "_USED", {})
    monkeypatch.setattr(fingerprints, "_SEEN", {})
    monkeypatch.setattr(registry, "_SPECS", dict(registry._SPECS))
    return tmp_path


class Web:
    """Bytes by path; ``cut`` paths stop half-way, ``slow`` paths take their time; counts requests."""

    def __init__(self):
        self.content: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.slow: dict[str, float] = {}
        self.requests: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def serve(self, path, content):
        self.content[path] = content
        return self.url(path)

    def answer(self, request):
        self.requests.append(request.path)
        content = self.content.get(request.path)
        if content is None:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        half = len(content) // 2
        try:
            request.wfile.write(content[:half])
            request.wfile.flush()
            time.sleep(self.slow.get(request.path, 0.0))
            if request.path not in self.cut:
                request.wfile.write(content[half:])
        except OSError:
            pass  # the reader was killed, which is what some tests are about

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    """A web server on this machine."""
    server = Web()
    yield server
    server.close()


@pytest.fixture
def spec_of():
    """Makes the spec of a graph data set ``toy`` with the given files."""

    def make(*files, name="toy", **more):
        texts = dict.fromkeys(("title", "size", "origin", "licence", "citation"), "-")
        return DatasetSpec(name=name, kind="graph", problems=("-",), files=files, **(texts | more))

    return make


@pytest.fixture
def pinned():
    """Makes a file spec whose hash is that of ``content``."""

    def make(content, *urls, path="toy/toy.bin", **more):
        return FileSpec(path, hashlib.sha256(content).hexdigest(), urls=urls, **more)

    return make
