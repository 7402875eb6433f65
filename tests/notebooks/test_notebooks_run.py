"""Every notebook at quick through every door: the book, papermill, the command line, plain Jupyter Book."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.notebook

BIN = Path(sys.executable).parent


def call(*words, cwd, timeout=2400):
    """Run a command of this environment; its output is text, its exit status is looked at by the test."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(BIN / words[0]), *map(str, words[1:])],
        cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def chapters(root):
    return sorted(p.stem for p in (root / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def book(root):
    """The book at quick, built from the store of executions or anew."""
    done = call("trustlib", "book", cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def report(root, book):
    return json.loads((root / "_build/report.json").read_text())


@pytest.fixture(scope="module")
def small(root, tmp_path_factory):
    """The chapter through plain papermill with other parameters."""
    out = tmp_path_factory.mktemp("papermill") / "out.ipynb"
    words = ("-p", "n_splits", "3", "-p", "bounds", "paper", "-p", "n_draws", "2")
    done = call("papermill", "notebooks/pdp_op.ipynb", out, *words, cwd=root)
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(out, as_version=4)


def test_book_prints_path_times_and_verdicts(root, book):
    assert str(root / "_build/html/index.html") in book.stdout
    for name in chapters(root):
        [line] = [line for line in book.stdout.splitlines() if line.startswith(name)]
        assert "supported" in line
        assert " s " in line


def test_book_has_a_page_per_chapter_and_every_generated_page(root, book):
    pages = [f"notebooks/{name}" for name in chapters(root)]
    pages += [
        f"book/{p}" for p in ("intro", "claims", "data", "reproducibility", "how_to_rerun", "references")
    ]
    for page in pages:
        text = (root / "_build/html" / f"{page}.html").read_text()
        assert "Traceback (most recent call last)" not in text
        assert "Cite this page" in text


def test_quick_stays_within_its_budget_of_memory_and_uses_no_gpu(root, report):
    for row in report["notebooks"]:
        assert row["profile"] == "quick"
        assert row["peak_memory_bytes"] < 4 * 2**30


def test_every_claim_of_a_chapter_is_decided_or_said_not_to_be(root, report):
    from trustlib import claims

    book = claims.load_claims(root / "book/claims.yml")
    got = {record["id"] for record in report["claims"]}
    for name in chapters(root):
        assert {claim.id for claim in book.of(name) if "quick" in claim.profiles} <= got


def test_papermill_result_shows_both_the_parameters_and_the_widgets(small):
    injected = [c for c in small.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1
    assert "n_splits = 3" in injected[0].source
    assert small.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]


def test_papermill_result_has_no_error_and_no_stderr(small):
    for cell in small.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")


def test_papermill_refuses_a_choice_that_does_not_exist(root, tmp_path):
    done = call("papermill", "notebooks/pdp_op.ipynb", tmp_path / "o.ipynb", "-p", "bounds", "foo", cwd=root)
    assert done.returncode != 0
    assert "paper" in done.stderr
    assert "tight" in done.stderr
    assert "foo" in done.stderr


def test_run_refuses_an_unknown_parameter_before_running(root, tmp_path):
    done = call("trustlib", "run", "pdp_op", "-p", "nosuch", "1", "--out", tmp_path / "o.ipynb", cwd=root)
    assert done.returncode != 0
    assert "nosuch" in done.stderr
    assert "n_splits" in done.stderr
    assert not list(tmp_path.iterdir())


def test_run_refuses_a_wrong_type_and_a_wrong_choice_before_running(root, tmp_path):
    for words in (("n_splits", "many"), ("bounds", "foo")):
        done = call("trustlib", "run", "pdp_op", "-p", *words, "--out", tmp_path / "o.ipynb", cwd=root)
        assert done.returncode != 0
        assert words[0] in done.stderr
    assert not list(tmp_path.iterdir())


def test_plain_jupyter_book_builds_the_checkout(root, tmp_path):
    for name in ("_config.yml", "_toc.yml", "README.md"):
        shutil.copy(root / name, tmp_path / name)
    leave = shutil.ignore_patterns("_build", "vendor", "__pycache__")
    for name in ("book", "notebooks"):
        shutil.copytree(root / name, tmp_path / name, ignore=leave)
    done = call("jupyter-book", "build", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for name in chapters(root):
        assert (tmp_path / "_build/html/notebooks" / f"{name}.html").exists()


@pytest.mark.realdata
def test_published_insurance_sweep_is_reproduced_within_five_percent(root, real_data):
    from trustlib import data, pdp_op

    table = data.load_table("insurance")
    design = data.encode_table(table, one_hot="full", intercept=True, centre=False, ranges="observed")
    problem = pdp_op.Problem(design.X, design.y, x_norm=12**0.5, y_bound=1.0, y_range=(0.0, 1.0))
    plan = pdp_op.Plan(pdp_op.ALAGGAN, (1.0,), n_splits=20, n_draws=10, seed=0)
    found = pdp_op.published_comparison(problem, plan)
    assert found["difference"].abs().max() < 0.05
