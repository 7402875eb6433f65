"""Rendering: what a person is told when Jupyter Book refuses, and when Sphinx's memory is not trusted."""

from __future__ import annotations

import pytest

from trustlib.runs import RenderingFailed
from trustlib.runs.rendering import render


def render_with(project, monkeypatch, returncode: int, log: str, *, strict: bool = True, content: str = "c"):
    """Render with a stand-in for Jupyter Book that writes a log and, if it succeeds, a page."""
    made = []

    class Done:
        def __init__(self, command, *, stdout, **options):
            work = project.build / "sphinx"
            made.append((command, sorted(path.name for path in work.iterdir())))
            stdout.write(log)
            stdout.flush()
            self.returncode = returncode
            page = work / "_build/html/index.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(content)

    monkeypatch.setattr("trustlib.runs.rendering.subprocess.run", Done)
    stage = project.build / "stage"
    stage.mkdir(parents=True, exist_ok=True)
    (stage / "_config.yml").write_text("")
    rendered = render(project, stage, content, strict=strict, lock=0, say=lambda message: None)
    return rendered, made


LOG = """reading sources... [100%]
{stage}/book/intro.md:3: WARNING: undefined label: 'x'
{stage}/book/intro.md:3: WARNING: undefined label: 'x'
build finished with problems, 1 warning
"""


def test_complaints_are_those_lines_that_matter_with_short_paths(project, monkeypatch):
    log = LOG.replace("{stage}", str(project.build / "stage"))
    with pytest.raises(RenderingFailed) as caught:
        render_with(project, monkeypatch, 1, log)
    lines = str(caught.value).splitlines()
    assert lines[1] == "  book/intro.md:3: WARNING: undefined label: 'x'"
    assert len(lines) == 3
    assert lines[2].endswith("_build/sphinx.log")


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("Traceback\nsphinx.errors.ExtensionError: no such thing\nbox", "no such thing"),
        ("died\nat once", "at once"),
    ],
)
def test_crashes_are_told_too(project, monkeypatch, log, told):
    with pytest.raises(RenderingFailed, match=told):
        render_with(project, monkeypatch, 2, log)


def test_same_content_is_rendered_once(project, monkeypatch):
    assert render_with(project, monkeypatch, 0, "")[0]
    assert render_with(project, monkeypatch, 0, "") == (False, [])
    assert render_with(project, monkeypatch, 0, "", content="d")[0]
    assert (project.build / "html/index.html").read_text() == "d"


def test_warnings_are_errors_only_where_every_page_is_current(project, monkeypatch):
    _, [(command, _)] = render_with(project, monkeypatch, 0, "")
    assert "-W" in command
    _, [(command, _)] = render_with(project, monkeypatch, 0, "", strict=False)
    assert "-W" not in command


def test_sphinx_starts_anew_after_a_failure_a_change_of_library_or_of_strictness(project, monkeypatch):
    def remembered(returncode: int = 0, *, content: str, strict: bool = True) -> bool:
        try:
            _, [(_, found)] = render_with(
                project, monkeypatch, returncode, "", content=content, strict=strict
            )
        except RenderingFailed:
            return False
        return "_build" in found

    assert not remembered(content="a")
    assert remembered(content="b")
    assert not remembered(1, content="c")
    assert not remembered(content="d")  # the build before had failed
    assert not remembered(content="e", strict=False)
    assert not remembered(content="f")  # the build before was lenient
    (project.library / "first/method.py").write_text("x = 9\n")
    assert not remembered(content="g")  # documented sources changed
    assert remembered(content="h")
