"""Running one notebook: whole or kept as partial, with its record either way. Each test starts a kernel."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from tiny_books import TINY

from trustlib import data
from trustlib.runs import ExecutionFailed
from trustlib.runs.engine import kernel_environment
from trustlib.runs.execution import run_notebook


def run(project, name: str = "first", **overrides):
    settings = project.settings(name, overrides=overrides)
    return run_notebook(project, name, settings, out=project.root / "made" / "out.ipynb")


def files(project) -> list[str]:
    return sorted(path.name for path in (project.root / "made").iterdir())


NOISY = """
import sys, subprocess
from tqdm import tqdm

for _ in tqdm(range(3)):
    pass
child = "import time; x = bytearray(300_000_000); time.sleep(1)"
done = subprocess.run([sys.executable, "-c", child])
"""


def test_a_run_carries_its_record(project_of):
    table = "from trustlib import data\n\ntable = data.load_table('insurance_like', n=10, seed=0)"
    project = project_of({"first": [*TINY, ("code", NOISY), ("code", table)]})
    done = run(project, bounds="tight")
    notebook = nbformat.read(done.path, as_version=4)
    nbformat.validate(notebook)
    assert files(project) == ["out.ipynb"]
    assert notebook.metadata["trustlib"]["record"] == done.record

    record = done.record
    assert record["status"] == "complete"
    assert record["parameters"] == {"seed": 3, "bounds": "tight"}
    assert record["seeds"] == {"seed": 3}
    assert record["error"] is None
    assert record["data"] == [{"name": "insurance_like", "sha256": data.known_sha256("insurance_like")}]
    assert {"python", "platform", "packages", "device", "data", "git", "command"} <= record.keys()
    assert "tqdm" in record["packages"]
    assert "torch" not in record["packages"]  # installed, but the notebook did not load it
    assert record["slowest_cells"][0]["first_line"] == "import sys, subprocess"
    assert record["slowest_cells"][0]["cell"] == 6  # counted with the injected cell
    # the child's 300 MB count, though they were never the kernel's
    assert record["memory"]["peak_bytes"] > 300_000_000
    assert record["memory"]["gpu_peak_bytes"] is None or record["device"]["class"] == "cuda"

    assert [c.source for c in notebook.cells if "display_facts" in c.source] == []
    assert notebook.cells[-1].source.startswith("## Provenance")
    assert '`bounds = "tight"`' in notebook.cells[-1].source
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [o.text for o in outputs] == ["6 tight\n"]  # no progress bar, nothing on stderr
    assert "papermill" not in str(notebook)


def test_a_failing_run_keeps_what_ran_and_names_the_cell(project_of):
    cells = [*TINY, ("code", "x = 1\nx / (seed - 3)"), ("code", "print('never')")]
    project = project_of({"first": cells})
    (project.root / "made").mkdir()
    (project.root / "made/out.ipynb").write_text("an older whole one")
    with pytest.raises(ExecutionFailed, match="division by zero") as caught:
        run(project, bounds="tight")
    assert "first stopped in cell 5 (In [5]), `x = 1`" in str(caught.value)
    assert files(project) == ["out.failed.ipynb", "out.ipynb"]
    assert (project.root / "made/out.ipynb").read_text() == "an older whole one"
    partial = nbformat.read(caught.value.partial, as_version=4)
    record = partial.metadata["trustlib"]["record"]
    assert record["status"] == "failed"
    assert record["error"]["name"] == "ZeroDivisionError"
    assert record["packages"]  # the kernel was asked although a cell had failed
    assert any(c.get("outputs") and c.outputs[0].get("text") == "6 tight\n" for c in partial.cells)
    assert partial.cells[-1].source.startswith("## Provenance")

    run(project, seed=4)
    assert files(project) == ["out.ipynb"]  # the failure is history once the run succeeds


def test_a_dead_kernel_is_reported_with_its_cell(project_of):
    project = project_of({"first": [*TINY, ("code", "import os\nos._exit(9)")]})
    with pytest.raises(ExecutionFailed, match=r"cell 5.*, `import os`.*\n.*DeadKernelError.*out of memory"):
        run(project)
    assert files(project) == ["out.failed.ipynb"]
    partial = nbformat.read(project.root / "made/out.failed.ipynb", as_version=4)
    assert partial.metadata["trustlib"]["record"]["packages"] is None


def test_leftovers_of_dead_runs_are_removed_and_living_ones_kept(project):
    made = project.root / "made"
    made.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (made / f".out.{dead.pid}.part.ipynb").touch()
    (made / ".out.1.part.ipynb").touch()
    run(project)
    assert files(project) == [".out.1.part.ipynb", "out.ipynb"]


def test_plain_papermill_runs_and_refuses_the_same(project):
    """What `check_parameters(globals())` in a notebook is for."""
    source, out = project.root / "notebooks/first.ipynb", project.root / "out.ipynb"

    def papermill(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "papermill", str(source), str(out), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    done = papermill("-p", "bounds", "tight")
    assert done.returncode == 0, done.stderr
    assert "6 tight" in out.read_text()
    refused = papermill("-p", "bounds", "foo")
    assert refused.returncode != 0
    assert "choose one of: 'paper', 'tight'" in refused.stderr
    unknown = papermill("-p", "sed", "1")
    assert unknown.returncode != 0
    assert "No parameter is called 'sed'" in unknown.stderr


def test_a_kernel_has_one_thread_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert kernel_environment()["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert kernel_environment()["OMP_NUM_THREADS"] == "6"


def test_the_kernel_finds_data_that_the_caller_named_relatively(tmp_path, monkeypatch):
    """The kernel works in another folder than the caller."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUSTLIB_DATA", "../data")
    monkeypatch.delenv("TRUSTLIB_CLAIMS", raising=False)
    environment = kernel_environment()
    assert environment["TRUSTLIB_DATA"] == str(tmp_path.parent / "data")
    assert "TRUSTLIB_CLAIMS" not in environment
    assert environment["TQDM_DISABLE"] == "1"


def test_an_interrupted_run_keeps_what_ran(project_of):
    project = project_of({"first": [*TINY, ("code", "import time\ntime.sleep(60)")]})
    command = [str(Path(sys.executable).parent / "trustlib"), "run", "first", "--out", "made/out.ipynb"]
    # a suite that runs in the background inherits an ignored SIGINT; the run must get the default back
    process = subprocess.Popen(
        command, cwd=project.root, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not any("6 paper" in p.read_text() for p in (project.root / "made").glob(".out.*.part.ipynb")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert files(project) == ["out.failed.ipynb"]
