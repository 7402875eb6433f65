"""The command: what it accepts, what it says, how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from trustlib.runs import ExecutionFailed, RenderingFailed
from trustlib.runs.cli import app, join_pairs
from trustlib.runs.doctor import Finding, examine


@pytest.fixture
def call(project, monkeypatch):
    """Calls the command inside the tiny book's notebooks folder."""
    monkeypatch.chdir(project.root / "notebooks")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["-p", "a", "1", "x"], ["-p", "a=1", "x"]),
        (["-p", "a=1", "x"], ["-p", "a=1", "x"]),
        (["--parameter", "a", "b=c"], ["--parameter", "a=b=c"]),
        (["-p", "a", "-1"], ["-p", "a=-1"]),
        (["-p", "a"], ["-p", "a"]),
        (["-p"], ["-p"]),
    ],
)
def test_pairs_are_joined(words, joined):
    assert join_pairs(words) == joined


def test_the_command_starts_light():
    heavy = "{'torch', 'pandas', 'papermill', 'sphinx'}"
    code = f"import sys, trustlib.runs.cli; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_run_writes_where_it_says(call, project):
    done = call("run", "first", "-p", "bounds", "tight", "-p", "seed=5")
    assert done.exit_code == 0, done.output
    out = project.root / "runs/first.ipynb"
    assert str(out) in done.stdout
    record = json.loads(out.read_text())["metadata"]["trustlib"]["record"]
    assert record["parameters"] == {"seed": 5, "bounds": "tight"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first", "-p", "nosuch", "1"], "No parameter is called 'nosuch'"),
        (["first", "-p", "bounds", "foo"], "choose one of: 'paper', 'tight'"),
        (["first", "-p", "seed", "x"], "'seed' must be int"),
        (["first", "-p", "seed"], "-p seed lacks a value"),
        (["third"], "Notebooks: first, second"),
        (["first", "--profile", "gpu"], "Profiles: quick"),
    ],
)
def test_a_wrong_call_is_refused_before_running(call, project, arguments, message):
    done = call("run", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (project.root / "runs").exists()


def test_outside_a_book_the_command_says_so(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    done = CliRunner().invoke(app, ["book"])
    assert done.exit_code == 2
    assert "is not inside a book" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [(ExecutionFailed("stopped"), 1), (RenderingFailed("refused"), 1), (KeyboardInterrupt(), 130)],
)
def test_failures_have_their_exit_codes(call, monkeypatch, error, code):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("trustlib.runs.book.build_book", fail)
    done = call("book")
    assert done.exit_code == code
    assert str(error) in done.stderr


def test_params_prints_values_and_a_file_for_papermill(call, project):
    (project.root / "notebooks/profiles/cpu.yml").write_text("first: {seed: 9}\n")
    shown = call("params", "first").stdout
    assert "seed = 3  # int, in [0, 100]: seed" in shown
    done = call("params", "first", "--profile", "cpu", "--yaml")
    assert yaml.safe_load(done.stdout) == {"seed": 9, "bounds": "paper"}


def test_doctor_fails_only_for_what_is_required(call, monkeypatch):
    findings = [Finding("Python", "ok", "3.11"), Finding("GPU", "absent", "none", "buy one")]
    monkeypatch.setattr("trustlib.runs.doctor.examine", lambda: iter(findings))
    done = call("doctor")
    assert done.exit_code == 0
    assert "-> buy one" in done.stdout
    findings.append(Finding("packages", "missing", "lacks numpy", "pip install numpy"))
    done = call("doctor")
    assert done.exit_code == 1
    assert "-> pip install numpy" in done.stdout
    assert "1 required" in done.stderr


def test_the_console_script_is_this_command():
    done = subprocess.run(
        [Path(sys.executable).parent / "trustlib", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    for name in ("run", "params", "book", "doctor", "data"):
        assert name in done.stdout


def test_doctor_looks_at_this_machine(project):
    found = {finding.subject: finding for finding in examine(project.root)}
    assert found["Python"].state == "ok"
    assert found["packages"].state == "ok"
    assert "2 notebooks" in found["book"].detail
    assert found["data insurance_like"].state == "ok"
    for finding in found.values():
        assert finding.remedy or finding.state == "ok" or finding.subject == "GPU"


def test_doctor_names_what_an_extra_lacks(project, monkeypatch):
    requirements = ["numpy>=999", "absent-thing>=1; extra == 'graphs'", "tqdm; extra == 'serve'"]
    monkeypatch.setattr("trustlib.runs.doctor.metadata.requires", lambda name: requirements)
    found = {finding.subject: finding for finding in examine(project.root)}
    assert found["packages"].state == "missing"
    assert "numpy>=999 (found" in found["packages"].detail
    assert found["extra graphs"].state == "absent"
    assert "lacks absent-thing>=1" in found["extra graphs"].detail
    assert ".[graphs]" in found["extra graphs"].remedy
    assert found["extra serve"].state == "ok"


def test_doctor_tells_a_gpu_from_a_usable_one(project, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("trustlib.runs.doctor.gpus", lambda: [{"name": "H100", "driver": "580"}])
    (gpu,) = (finding for finding in examine(project.root) if finding.subject == "GPU")
    assert gpu.state == "absent"
    assert "H100 (driver 580), but this PyTorch cannot use it" in gpu.detail
    assert gpu.remedy


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """Neither a data folder nor a cache."""
    monkeypatch.delenv("TRUSTLIB_DATA", raising=False)
    monkeypatch.setenv("TRUSTLIB_CACHE", str(tmp_path / "cache"))


def test_data_list_says_where_and_under_which_terms(call, no_data):
    said = call("data", "list").stdout
    assert "absent: trustlib data fetch insurance" in said
    assert "embedded:" in said
    assert "MIT, like the library." in said


def test_data_fetch_tells_unknown_from_unreachable(call, no_data, monkeypatch):
    unknown = call("data", "fetch", "insurence")
    assert unknown.exit_code == 2
    assert "There is no data set 'insurence'" in unknown.stderr

    def unreachable(*arguments, **options):
        raise OSError("no network here")

    monkeypatch.setattr("trustlib.data.download._transfer", unreachable)
    absent = call("data", "fetch", "insurance")
    assert absent.exit_code == 1
    assert "TRUSTLIB_DATA" in absent.stderr
    assert call("data", "fetch", "insurance_like").exit_code == 0
