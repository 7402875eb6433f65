"""Downloads are whole or not there, whatever the network or the operating system does half-way."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from trustlib import data
from trustlib.data import ChecksumError, DataNotFoundError, FileSpec

pytestmark = pytest.mark.usefixtures("fresh")
GOOD, BAD = b"good bytes " * 5000, b"bad bytes " * 5000

FETCH = """
import sys
from trustlib import data
from trustlib.data import DatasetSpec, FileSpec
url, digest = sys.argv[1:]
file = FileSpec("toy/toy.bin", digest, urls=(url,))
data.register(DatasetSpec("toy", "graph", "-", "-", "-", "-", "-", ("-",), files=(file,)))
print("ready", flush=True)
print(data.fetch("toy"))
"""

STUCK_SERVER = """
import socket, sys, time
size = int(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.recv(65536)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size + b"x" * (size // 2))
print("half", flush=True)
time.sleep(600)
"""


def sha(content):
    return hashlib.sha256(content).hexdigest()


def leftovers():
    """Files under the cache besides locks and records."""
    cache = data.cache_folder()
    return sorted(
        str(p.relative_to(cache))
        for p in cache.rglob("*")
        if p.is_file() and p.suffix not in (".lock", ".json")
    )


def start_fetch(url, content, *, stderr=subprocess.PIPE):
    command = [sys.executable, "-c", FETCH, url, sha(content)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def test_download_arrives_in_the_cache_and_is_not_repeated(spec_of, pinned, web):
    data.register(spec_of(pinned(GOOD, web.serve("/toy", GOOD))))
    path = data.fetch("toy")
    assert path == data.cache_folder() / "toy/toy.bin"
    assert path.read_bytes() == GOOD
    assert data.local_file("toy") == path
    assert web.requests == ["/toy"]
    assert leftovers() == ["toy/toy.bin"]


def test_wrong_bytes_are_not_kept_and_both_hashes_are_named(spec_of, pinned, web):
    data.register(spec_of(pinned(GOOD, web.serve("/toy", BAD))))
    with pytest.raises(ChecksumError, match=f"expected {sha(GOOD)}, received {sha(BAD)}. Nothing was kept"):
        data.fetch("toy")
    assert leftovers() == []
    assert data.status("toy").state == "absent"


@pytest.mark.parametrize("is_pinned", [True, False])
def test_transfer_that_stops_half_way_leaves_nothing(spec_of, pinned, web, is_pinned):
    url = web.serve("/toy", GOOD)
    web.cut.add("/toy")
    data.register(spec_of(pinned(GOOD, url) if is_pinned else FileSpec("toy/toy.bin", None, urls=(url,))))
    with pytest.raises(DataNotFoundError, match=r"toy/toy\.bin.*IncompleteRead"):
        data.fetch("toy")
    assert leftovers() == []
    assert data.known_sha256("toy") == (sha(GOOD) if is_pinned else None)
    web.cut.clear()
    assert data.fetch("toy").read_bytes() == GOOD


def test_server_that_is_killed_mid_transfer_leaves_nothing(spec_of, pinned):
    command = [sys.executable, "-c", STUCK_SERVER, str(len(GOOD))]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/toy"
        data.register(spec_of(pinned(GOOD, url)))
        answer = pool.submit(data.fetch, "toy")
        assert server.stdout.readline() == "half\n"
        server.kill()
        with pytest.raises(
            DataNotFoundError, match=r"toy/toy\.bin.*IncompleteRead|connection, or it was lost"
        ):
            answer.result(timeout=60)
    assert leftovers() == []
    assert data.status("toy").state == "absent"


def test_server_that_is_down_leaves_nothing(spec_of, pinned, web):
    dead = web.url("/toy")
    web.close()
    data.register(spec_of(pinned(GOOD, dead)))
    with pytest.raises(DataNotFoundError, match="no connection, or it was lost"):
        data.fetch("toy")
    assert leftovers() == []


def test_first_use_that_disagrees_with_a_later_download_says_what_to_delete(spec_of, web):
    data.register(spec_of(FileSpec("toy/toy.bin", None, urls=(web.serve("/toy", GOOD),))))
    path = data.fetch("toy")
    path.unlink()
    web.serve("/toy", BAD)
    with pytest.raises(ChecksumError, match=f"{sha(GOOD)}, received {sha(BAD)}") as caught:
        data.fetch("toy")
    record = re.search(r"delete (\S+\.json), which", str(caught.value)).group(1)
    assert not path.exists()
    os.remove(record)
    assert data.fetch("toy").read_bytes() == BAD


def test_cache_that_cannot_be_written_is_named_with_the_way_to_move_it(
    spec_of, pinned, web, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRUSTLIB_CACHE", str(tmp_path / "file"))
    data.register(spec_of(pinned(GOOD, web.serve("/toy", GOOD))))
    with pytest.raises(DataNotFoundError, match=r"moved by \$TRUSTLIB_CACHE.*The cache cannot be written"):
        data.fetch("toy")
    assert web.requests == []


def test_next_address_is_tried_and_all_reasons_are_told(spec_of, pinned, web):
    first, second = web.url("/gone"), web.url("/toy")
    data.register(spec_of(pinned(GOOD, first, second)))
    with pytest.raises(DataNotFoundError) as caught:
        data.fetch("toy")
    assert str(caught.value).count("HTTPError (404") == 2
    web.serve("/toy", GOOD)
    assert data.fetch("toy").read_bytes() == GOOD


def test_conversion_happens_before_the_hash_is_compared(spec_of, pinned, web):
    url = web.serve("/toy", b"good bytes ")
    data.register(spec_of(pinned(GOOD, url, convert=lambda raw: raw * 5000)))
    assert data.fetch("toy").read_bytes() == GOOD


def test_conversion_that_fails_leaves_nothing(spec_of, pinned, web):
    def convert(raw):
        raise KeyError("not that file")

    data.register(spec_of(pinned(GOOD, web.serve("/toy", GOOD), convert=convert)))
    with pytest.raises(KeyError, match="not that file"):
        data.fetch("toy")
    assert leftovers() == []


def test_killed_process_leaves_nothing_that_looks_whole_and_the_next_one_finishes(web):
    url = web.serve("/toy", GOOD)
    web.slow["/toy"] = 60.0
    with start_fetch(url, GOOD) as process:
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 30
        while not leftovers() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert leftovers() == [".partial/toy/transfer"]
        os.kill(process.pid, signal.SIGKILL)
    assert not (data.cache_folder() / "toy/toy.bin").exists()
    web.slow.clear()
    with start_fetch(url, GOOD) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == str(data.cache_folder() / "toy/toy.bin")
    assert leftovers() == ["toy/toy.bin"]


def test_two_processes_transfer_once(web):
    url = web.serve("/toy", GOOD)
    web.slow["/toy"] = 1.0
    processes = [start_fetch(url, GOOD) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert web.requests == ["/toy"]
    assert leftovers() == ["toy/toy.bin"]


def test_nothing_appears_on_stderr_outside_a_terminal(web, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE")  # a new process: tqdm reads the variable when it is imported
    with start_fetch(web.serve("/toy", GOOD), GOOD) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(("disable", "shown"), [("", True), ("1", False)])
def test_bar_appears_on_a_terminal_unless_disabled(web, monkeypatch, disable, shown):
    monkeypatch.setenv("TQDM_DISABLE", disable)
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))  # tqdm hides its bar on a terminal without rows
    with start_fetch(web.serve("/toy", GOOD), GOOD, stderr=end) as process:
        process.communicate(timeout=60)
    os.close(end)
    assert process.returncode == 0
    assert ("100%" in read_all(terminal)) is shown


def read_all(terminal):
    """What was written to the other end of a pseudo-terminal."""
    text = b""
    with contextlib.suppress(OSError):  # Linux reports the closed end as an error
        while piece := os.read(terminal, 4096):
            text += piece
    os.close(terminal)
    return text.decode()
