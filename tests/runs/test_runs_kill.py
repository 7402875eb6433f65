"""`trustlib book` killed at many moments: the next run finishes, and nothing half-written counts as whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil
import pytest
from tiny_books import TINY, make_project

import trustlib
from trustlib.runs import Project

pytestmark = pytest.mark.notebook

COMMAND = [str(Path(sys.executable).parent / "trustlib"), "book"]
SLOW = ("code", "import time\ntime.sleep(0.2)\nprint('slept')")


def environment(project: Project) -> dict[str, str]:
    """Makes the command use the copy of the library beside the book, see the fixture."""
    return {**os.environ, "PYTHONPATH": str(project.root / "frozen")}


def start(project: Project) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        COMMAND,
        cwd=project.root / "notebooks",
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> list[psutil.Process]:
    """Kill -9 as soon as a condition holds; returns the children that the process had then."""
    deadline = time.monotonic() + 60
    while not reached():
        assert process.poll() is None, process.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return children


def finish(project: Project) -> str:
    """Run to the end."""
    done = subprocess.run(
        COMMAND, cwd=project.root, env=environment(project), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_whole(project: Project) -> None:
    """Every stored execution ran to its end, every page is there, nothing temporary is left."""
    entries = list((project.build / "executions").iterdir())
    assert entries
    for entry in entries:
        record = json.loads((entry / "record.json").read_text())
        notebook = nbformat.read(entry / f"{record['notebook']}.ipynb", as_version=4)
        nbformat.validate(notebook)
        assert record["status"] == "complete"
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
        assert notebook.cells[-1].source.startswith("## Provenance")
    html = project.build / "html"
    for name in project.notebooks():
        page = (html / "notebooks" / f"{name}.html").read_text()
        assert "slept" in page
        assert page.rstrip().endswith("</html>")
    assert (html / "searchindex.js").is_file()
    assert not list(project.build.glob(".html.*"))
    assert not (project.build / "sphinx/unfinished").exists()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A book and a copy of the library: an edit of the checkout during a test would rightly run chapters again."""
    cells = [*TINY, SLOW]
    made = make_project(tmp_path_factory.mktemp("kill"), {"first": cells, "second": cells})
    library = Path(trustlib.__file__).parent
    shutil.copytree(library, made.root / "frozen/trustlib", ignore=shutil.ignore_patterns("__pycache__"))
    return made


def change(project: Project, name: str) -> None:
    """Make a notebook new, so that it has to run."""
    path = project.notebook(name)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].source += f"\n# {time.time_ns()}"
    nbformat.write(notebook, path)


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "while the second notebook runs": lambda build: any(build.glob("executions/.second.*/.*.part.ipynb")),
    "while Sphinx runs": lambda build: any(build.glob("sphinx/_build/html/**/*.html")),
    "while the book is published": lambda build: (build / ".html.new").exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_build_is_taken_up(project: Project, moment: str):
    change(project, "first")
    change(project, "second")
    shutil.rmtree(project.build / "sphinx", ignore_errors=True)
    children = kill_when(start(project), lambda: MOMENTS[moment](project.build))
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []  # neither kernel nor renderer outlives the build for long
    said = finish(project)
    assert_whole(project)
    assert said.count("(stored)") == (1 if "notebook" in moment else 2)  # what was finished is not repeated


def test_killed_at_any_time(project: Project):
    """Kills at growing delays (starting up, in the first notebook, later), without repairing in between."""
    change(project, "first")
    change(project, "second")
    for delay in (0.3, 0.8, 1.5):
        process = start(project)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    finish(project)
    assert_whole(project)
    assert finish(project).count("(stored)") == 2
