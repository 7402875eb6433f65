"""The papermill engine that asks the living kernel for provenance, whether the notebook succeeds or fails.

After the last cell (or the first error) one more cell runs in the kernel and is removed again; what it
answers goes into a ``Journal``. Memory of the kernel and its children is sampled from outside meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines

__all__ = ["Journal", "execute"]

PROBE = "from trustlib.runs.probe import display_facts\ndisplay_facts()"
_MIME = "application/vnd.trustlib.facts+json"
_ENGINE = "trustlib"
_PATHS = ("TRUSTLIB_DATA", "TRUSTLIB_CACHE", "TRUSTLIB_CLAIMS")


@dataclass
class Journal:
    """What the engine notes while a notebook runs.

    Args:
        cell: index, in the executed notebook, of the cell that ran last; -1 before the first.
        facts: what ``trustlib.runs.probe.facts`` answered in the kernel; empty if the kernel had died.
        peak_bytes: largest resident memory of the kernel and its children together.
    """

    cell: int = -1
    facts: dict[str, Any] = field(default_factory=dict)
    peak_bytes: int = 0


class RecordingClient(PapermillNotebookClient):
    """Papermill's client with a memory meter and the provenance cell at the end."""

    def __init__(self, nb_man: NotebookExecutionManager, *, journal: Journal, **kwargs: Any) -> None:
        super().__init__(nb_man, **kwargs)
        self.journal = journal

    def execute_cell(self, cell: nbformat.NotebookNode, cell_index: int, **kwargs: Any) -> Any:
        """Run one cell and remember which."""
        self.journal.cell = cell_index
        return super().execute_cell(cell, cell_index, **kwargs)

    def papermill_execute_cells(self) -> None:
        """Run the cells until the end or the first error, then ask the kernel for its facts."""
        with _metered(self.km, self.journal):
            super().papermill_execute_cells()
        last = self.journal.cell
        probe = nbformat.v4.new_code_cell(PROBE)
        self.nb.cells.append(probe)
        try:
            super().execute_cell(probe, len(self.nb.cells) - 1, store_history=False)
        finally:
            self.nb.cells.pop()
            self.journal.cell = last
        self.journal.facts = probe.outputs[0].data[_MIME]
        self.journal.peak_bytes = max(self.journal.peak_bytes, self.journal.facts["memory"]["peak_bytes"])


class RecordingEngine(NBClientEngine):
    """The engine that ``papermill.execute_notebook`` finds under the name ``trustlib``."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute with ``RecordingClient``, given a ``journal`` and the kernel's ``environment``."""
        client = RecordingClient(
            nb_man,
            journal=kwargs["journal"],
            kernel_name=kernel_name,
            startup_timeout=kwargs.get("start_timeout", 60),
            timeout=None,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            log=logging.getLogger("papermill"),
        )
        return client.execute(env=kwargs["environment"])


papermill_engines.register(_ENGINE, RecordingEngine)


def execute(source: Path, target: Path, *, parameters: dict[str, Any], title: str, journal: Journal) -> None:
    """Run one notebook file through papermill, in the folder of the notebook.

    Args:
        source: the notebook.
        target: where the executed notebook is written, again after each cell.
        parameters: values to inject below the parameters cell; nothing is injected if empty.
        title: what the progress bar on a terminal says.
        journal: filled while the notebook runs.

    Raises:
        papermill.PapermillExecutionError: a cell raised.
        nbclient.exceptions.DeadKernelError: the kernel died, most often for lack of memory.
    """
    _prepare_fonts()
    with _quiet_papermill():
        papermill.execute_notebook(
            _verbatim(source),
            _verbatim(target),
            parameters=parameters,
            engine_name=_ENGINE,
            kernel_name="python3",  # the environment that trustlib runs in, whatever the file was saved with
            language="python",
            cwd=str(source.parent),
            progress_bar={"desc": title, "unit": "cell", "leave": False, "disable": None},
            journal=journal,
            environment=kernel_environment(),
        )


def kernel_environment() -> dict[str, str]:
    """The environment of a kernel: this process's, quiet, with hash order fixed, on one thread unless told otherwise.

    The kernel works in the notebook's folder, so relative paths in trustlib's own variables become absolute. Threads
    that wait for each other over small tensors can take all the time of a busy machine; ``OMP_NUM_THREADS`` of the
    caller wins.
    """
    quiet = {"TQDM_DISABLE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONHASHSEED": "0"}
    paths = {
        name: str(Path(os.environ[name]).expanduser().resolve()) for name in _PATHS if os.environ.get(name)
    }
    return {"OMP_NUM_THREADS": "1", **os.environ, **paths, **quiet}


def _verbatim(path: Path) -> str:
    """The path as text in which papermill fills in nothing."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextlib.contextmanager
def _quiet_papermill() -> Iterator[None]:
    """Papermill logs what was checked already and what is raised anyway: silence it meanwhile."""
    logger = logging.getLogger("papermill")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _prepare_fonts() -> None:
    """Build matplotlib's font cache where it is missing: a kernel would announce that in the page."""
    import matplotlib

    if not any(Path(matplotlib.get_cachedir()).glob("fontlist-*.json")):
        command = [sys.executable, "-c", "import matplotlib.font_manager"]
        subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def _metered(manager: Any, journal: Journal) -> Iterator[None]:
    """Sample the memory of a kernel's process tree four times a second into the journal."""
    import psutil

    done = threading.Event()
    kernel = psutil.Process(manager.provisioner.pid)

    def resident(process: psutil.Process) -> int:
        try:
            return process.memory_info().rss
        except psutil.Error:
            return 0

    def sample() -> None:
        while not done.wait(0.25):
            with contextlib.suppress(psutil.Error):
                tree = [kernel, *kernel.children(recursive=True)]
                journal.peak_bytes = max(journal.peak_bytes, sum(map(resident, tree)))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
