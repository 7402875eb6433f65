"""One name per paper everywhere, and nothing in the tree that belongs to one machine."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

PAPERS = {
    "memorization", "robustness", "dppl", "pdp_op", "unlearning",
    "nemo", "gnn_stealing", "regulation_games", "b4b",
}  # fmt: skip
GROUND = {"data", "encoders", "privacy", "claims", "plotting", "runs"}


def chapters(root):
    return sorted(p.stem for p in (root / "notebooks").glob("*.ipynb"))


def test_there_is_a_chapter(root):
    assert "pdp_op" in chapters(root)


def test_packages_are_rooms_or_floors(root):
    packages = {p.parent.name for p in (root / "trustlib").glob("*/__init__.py")}
    assert packages <= PAPERS | GROUND


def test_every_chapter_has_package_tests_claims_page_and_table_row(root):
    toc = (root / "_toc.yml").read_text()
    readme = (root / "README.md").read_text()
    claims = yaml.safe_load((root / "book/claims.yml").read_text())["claims"]
    for name in chapters(root):
        assert name in PAPERS
        assert (root / "trustlib" / name / "__init__.py").exists()
        assert list((root / "tests" / name).glob(f"test_{name}*.py"))
        assert any(c["paper"] == name for c in claims)
        assert f"file: notebooks/{name}\n" in toc
        assert f"file: book/api/{name}\n" in toc
        assert re.search(rf"^\| `{name}` \|.*\| complete \|$", readme, re.M)


def test_readme_lists_the_nine_papers(root):
    rows = re.findall(r"^\| `(\w+)` \|", (root / "README.md").read_text(), re.M)
    assert sorted(rows) == sorted(PAPERS)


def test_claim_ids_are_spelled_like_their_paper(root):
    claims = yaml.safe_load((root / "book/claims.yml").read_text())["claims"]
    for claim in claims:
        assert claim["paper"] in PAPERS
        assert re.fullmatch(rf"{claim['paper']}-\d+", claim["id"])


def test_profiles_name_chapters_and_their_parameters(root):
    import nbformat

    from trustlib.runs import read_parameters

    for file in sorted((root / "notebooks/profiles").glob("*.yml")):
        for name, values in (yaml.safe_load(file.read_text()) or {}).items():
            known = read_parameters(nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4))
            assert set(values) <= set(known), f"{file.name}: {name}"


def test_test_files_have_unique_names(root):
    names = [p.name for p in (root / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_tracked_text_holds_no_home_paths_outputs_or_data(root):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing is tracked")
    home = re.compile(r"/(home|Users|root)/\w")
    for name in filter(None, listed.stdout.split("\0")):
        path = root / name
        assert path.suffix not in {".parquet", ".npz", ".pt", ".safetensors"}, f"{name}: data or weights"
        if path.suffix in {".py", ".md", ".yml", ".ipynb", ".toml", ".json"} and path.exists():
            assert not home.search(path.read_text()) or path.name == "test_house_names.py", name


def test_citation_file_is_complete(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "version", "license", "references"} <= set(citation)
    assert len(citation["references"]) == 10
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year", "url"} <= set(reference)
