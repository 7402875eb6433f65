"""Resolve ``pyproject.toml`` into ``constraints.txt`` and write ``environment.yml`` from it.

``make lock`` runs this. The constraints hold for Python 3.11 to 3.13 on Linux and macOS at once (environment
markers say which pin belongs to which) and name no package index. ``HELD`` keeps what must not drift.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Held on purpose: the recorded results were made with these; raise them in a commit of its own.
HELD = ["torch==2.14.1", "torchvision==0.29.1"]

# Taken from conda-forge by environment.yml; everything else comes through pip, with the same bounds.
CONDA = {
    "filelock", "ipython", "ipywidgets", "jsonschema", "matplotlib", "numpy", "pandas", "pillow", "platformdirs",
    "pooch", "psutil", "pyarrow", "pyyaml", "safetensors", "scikit-learn", "scipy", "seaborn", "tqdm", "typer",
}  # fmt: skip


def name_of(requirement: str) -> str:
    """The bare distribution name of a requirement string."""
    return requirement.split(">")[0].split("=")[0].split("<")[0].strip()


def environment_text() -> str:
    """environment.yml for conda users: the same requirements as pyproject.toml, split by channel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = list(project["dependencies"])
    for extra in ("book", "diffusion", "graphs", "serve", "sweep", "dev"):
        wanted += [r for r in extras[extra] if r not in wanted]
    conda = sorted(r for r in wanted if name_of(r) in CONDA)
    pip = sorted(r for r in wanted if name_of(r) not in CONDA)
    lines = ["# Written by `make lock` from pyproject.toml; a test keeps the two in step.", "name: trustlib"]
    lines += ["channels: [conda-forge, nodefaults]", "dependencies:"]
    lines += [f'  - "python{project["requires-python"]}"', "  - pip", "  - nodejs"]
    lines += [f'  - "{r}"' for r in conda]
    lines += ["  - pip:"] + [f'      - "{r}"' for r in pip]
    lines += ["      - --editable .", ""]
    return "\n".join(lines)


def resolve() -> None:
    """Write constraints.txt with uv's universal resolver."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as held:
        held.write("\n".join(HELD))
        held.flush()
        options = "--all-extras --universal --python-version 3.11 --strip-extras --no-annotate --no-header"
        command = ["-m", "uv", "pip", "compile", "pyproject.toml", *options.split(), "--no-emit-index-url"]
        command += ["--upgrade", "--quiet", "--constraint", held.name, "--output-file", "constraints.txt"]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


if __name__ == "__main__":
    resolve()
    (ROOT / "environment.yml").write_text(environment_text())
