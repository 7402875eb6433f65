"""Structure of every notebook as stored: no outputs, documented parameters, short cells, alt text."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:nbformat")

SECTIONS = [
    "What you will see", "Parameters", "The idea", "Claims", "Use it on", "Exercises", "Limits", "References",
]  # fmt: skip


def pytest_generate_tests(metafunc):
    if "notebook" in metafunc.fixturenames:
        folder = metafunc.config.rootpath / "notebooks"
        metafunc.parametrize("notebook", sorted(folder.glob("*.ipynb")), ids=lambda p: p.stem, indirect=True)


@pytest.fixture(scope="module")
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def prose(notebook):
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def python_of(cell):
    """The cell's source with IPython magics replaced, so that `ast` can read it."""
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M)


def tags(cell):
    return cell.metadata.get("tags", [])


def test_stored_without_outputs_and_with_unique_ids(notebook):
    assert all(not c.outputs and c.execution_count is None for c in code(notebook))
    ids = [c.id for c in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert "widgets" not in notebook.metadata
    assert "papermill" not in notebook.metadata


def test_one_title_and_sections_in_order(notebook):
    text = re.sub(r"```.*?```", "", prose(notebook), flags=re.S)
    assert len(re.findall(r"^# ", text, re.M)) == 1
    headings = re.findall(r"^## (.+)$", text, re.M)
    positions = [next((i for i, h in enumerate(headings) if h.startswith(s)), None) for s in SECTIONS]
    assert None not in positions, dict(zip(SECTIONS, positions, strict=True))
    assert positions == sorted(positions)


def test_one_parameters_cell_of_documented_literals(notebook):
    [cell] = [c for c in code(notebook) if "parameters" in tags(c)]
    for node in ast.parse(cell.source).body:
        assert isinstance(node, ast.Assign | ast.AnnAssign)
        ast.literal_eval(node.value)
        line = "".join(cell.source.splitlines()[node.lineno - 1 : node.end_lineno])
        assert "#" in line, f"undocumented parameter: {line}"


def test_code_cells_are_short_and_import_once(notebook):
    cells = code(notebook)
    for number, cell in enumerate(cells):
        if "parameters" in tags(cell):
            continue
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= 15, f"{len(lines)} lines: {cell.source[:200]}"
        tree = ast.parse(python_of(cell))
        if number > 0:
            assert not [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)], cell.source
            assert not re.search(r"^\s*[%!]", cell.source, re.M)
        for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]:
            assert function.end_lineno - function.lineno < 6, function.name


def test_no_cell_branches_on_the_profile(notebook):
    for cell in code(notebook):
        for node in ast.walk(ast.parse(python_of(cell))):
            if isinstance(node, ast.If | ast.IfExp):
                assert "profile" not in ast.unparse(node.test)


def test_every_figure_goes_through_show_or_frames_with_caption_and_alt(notebook):
    for cell in code(notebook):
        assert "plt.show" not in cell.source
        for node in ast.walk(ast.parse(python_of(cell))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"show", "frames"}:
                assert {"caption", "alt"} <= {k.arg for k in node.keywords}, ast.unparse(node)[:120]


def test_prose_has_no_typed_results(notebook):
    """Decimals in prose are the paper's (marked so), mathematics, or code; results are glued."""
    for cell in notebook.cells:
        if cell.cell_type != "markdown" or "typed-numbers" in tags(cell):
            continue
        text = re.sub(
            r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\{[^}]*\}`[^`]*`|https?://\S+|arXiv:\d{4}\.\d{5}",
            "",
            cell.source,
            flags=re.S,
        )
        found = re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", text)
        assert not found, f"typed decimals {found} in: {cell.source[:150]}"


def test_every_claim_is_checked_in_the_notebook(notebook, request, root):
    import yaml

    name = request.node.callspec.id
    claims = yaml.safe_load((root / "book/claims.yml").read_text())["claims"]
    text = "\n".join(c.source for c in code(notebook))
    for claim in claims:
        if claim["paper"] == name:
            assert f'"{claim["id"]}"' in text, f"{claim['id']} is never mentioned in a code cell"
