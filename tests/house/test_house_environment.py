"""environment.yml, constraints.txt and pyproject.toml say the same thing."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def requirements(project):
    texts = list(project["dependencies"])
    for name, extra in project["optional-dependencies"].items():
        if name != "all":
            texts += extra
    return {canonicalize_name(Requirement(t).name): Requirement(t) for t in texts}


def conda_entries(root):
    dependencies = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    plain = [d for d in dependencies if isinstance(d, str)]
    [nested] = [d["pip"] for d in dependencies if isinstance(d, dict)]
    return plain, nested


def test_environment_yml_lists_every_requirement_with_the_same_bounds(root, requirements):
    plain, nested = conda_entries(root)
    listed = [t for t in plain + nested if re.match(r"[a-z].*[<>=]", t) and not t.startswith("python>")]
    got = {canonicalize_name(Requirement(t).name): Requirement(t).specifier for t in listed}
    assert got == {name: r.specifier for name, r in requirements.items()}


def test_environment_yml_allows_the_supported_pythons(root, project):
    plain, _ = conda_entries(root)
    assert f"python{project['requires-python']}" in plain


def test_environment_yml_is_what_make_lock_writes(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    import lock

    assert (root / "environment.yml").read_text() == lock.environment_text()


def test_every_requirement_is_pinned_and_the_pin_satisfies_it(root, requirements):
    pins: dict[str, list[Requirement]] = {}
    for line in (root / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    for name, wanted in requirements.items():
        assert name in pins, f"{name} has no pin: run `make lock`"
        for pin in pins[name]:
            [specifier] = list(pin.specifier)
            assert specifier.operator == "=="
            assert wanted.specifier.contains(specifier.version), f"{pin} does not satisfy {wanted}"


def test_constraints_name_no_index(root):
    text = (root / "constraints.txt").read_text()
    assert not re.search(r"https?:|--(extra-)?index|--find-links|@ file", text)


def test_extras_are_the_documented_ones(project):
    assert list(project["optional-dependencies"]) == [
        "book", "diffusion", "graphs", "serve", "sweep", "dev", "all",
    ]  # fmt: skip


def test_this_python_is_supported(project):
    assert (3, 11) <= sys.version_info[:2] < (3, 14)
    assert project["requires-python"] == ">=3.11,<3.14"
