"""Sphinx extension of the book: generated pages, the citation box under every page, local browser assets.

Directives, all without arguments:

``{claims-ledger}``  the ledger of all claims, from ``book/claims.yml`` and the recorded results
``{data-cards}``     the data cards, from the registry of ``trustlib.data``
``{run-report}``     what was executed for this book, from the build's report and the recorded results
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vendored
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

REPORT = "book/_generated/report.json"
RESULTS = "book/results"


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file, or an empty mapping where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


class ClaimsLedger(SphinxDirective):
    """The generated table of all claims: paper's number, ours at each profile, verdict."""

    def run(self) -> list[nodes.Node]:
        """Emit the ledger as HTML (filters work without a server) and note what it depends on."""
        from trustlib import claims

        source = Path(self.env.srcdir)
        book = claims.load_claims(source / "book/claims.yml")
        records = claims.load_results(source / RESULTS)
        report = read_json(source / REPORT)
        for path in [source / "book/claims.yml", *(source / RESULTS).rglob("*.json"), source / REPORT]:
            self.env.note_dependency(str(path))
        rows = claims.ledger(book, records, current=report.get("claims", []), profile=report.get("profile"))
        text = claims.ledger_html(rows, link=lambda paper: f"../notebooks/{paper}.html")
        return [nodes.raw("", text, format="html")]


class DataCards(SphinxDirective):
    """One section per registered data set."""

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown of every card as if it stood in the page."""
        from trustlib import data

        text = "\n\n".join(data.card(name).to_markdown() for name in data.available())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class RunReport(SphinxDirective):
    """Tables of executions: those of this build, then the recorded reference runs."""

    def run(self) -> list[nodes.Node]:
        """Emit Markdown tables; say so plainly when nothing was executed."""
        source = Path(self.env.srcdir)
        self.env.note_dependency(str(source / REPORT))
        report = read_json(source / REPORT)
        parts = []
        if report.get("notebooks"):
            parts.append(f"Executed at the profile `{report['profile']}`:")
            parts.append(table([row_of(r) for r in report["notebooks"]]))
        else:
            parts.append(
                ":::{note}\nThis copy of the book was rendered without executing its notebooks "
                "(`trustlib book` executes and renders).\n:::"
            )
        recorded = sorted((source / RESULTS).rglob("*.json"))
        if recorded:
            parts.append("Recorded reference runs, kept in the repository:")
            parts.append(table([row_of(self.recorded(p)) for p in recorded], profile=True))
        return self.parse_text_to_nodes("\n\n".join(parts))

    def recorded(self, path: Path) -> dict[str, Any]:
        """The report row of one recorded result file."""
        self.env.note_dependency(str(path))
        return read_json(path)["run"]


COLUMNS = {
    "name": "Chapter",
    "profile": "Profile",
    "verdicts": "Verdicts",
    "seconds": "Time (s)",
    "peak_memory": "Peak memory (MiB)",
    "device": "Device",
    "date": "Date",
    "commit": "Commit",
}


def row_of(entry: dict[str, Any]) -> dict[str, str]:
    """The cells of one execution as text."""
    verdicts = ", ".join(f"{count} {word}" for word, count in entry.get("verdicts", {}).items() if count)
    commit = (entry.get("commit") or "unknown")[:10] + (" (changed)" if entry.get("dirty") else "")
    return {
        "name": f"[{entry['name']}](../notebooks/{entry['name']}.ipynb)",
        "profile": f"`{entry.get('profile', '')}`",
        "verdicts": verdicts or "none",
        "seconds": f"{entry['seconds']:.0f}",
        "peak_memory": f"{entry['peak_memory_bytes'] / 2**20:.0f}",
        "device": str(entry.get("device", "")),
        "date": str(entry.get("date", ""))[:10],
        "commit": f"`{commit}`",
    }


def table(rows: list[dict[str, str]], *, profile: bool = False) -> str:
    """A Markdown table with the columns above; the profile column only where rows differ in it."""
    keys = [k for k in COLUMNS if profile or k != "profile"]
    lines = ["| " + " | ".join(COLUMNS[k] for k in keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(row[k] for k in keys) + " |" for row in rows]
    return "\n".join(lines)


CITE = """<details class="cite-page"><summary>Cite this page</summary>
<pre>@misc{{trustlib-{key},
  title        = {{{title}}},
  author       = {{{{The trustlib authors}}}},
  howpublished = {{Trustworthy ML, rerun (version {version})}},
  year         = {{2026}},
  url          = {{{url}}}
}}</pre></details>"""


def add_citation(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Append a folded BibTeX entry for the page itself to every page that was written by somebody."""
    if doctree is None or "body" not in context:
        return
    title = doctree.next_node(nodes.title)
    base = app.config.html_baseurl or app.config.html_theme_options.get("repository_url", "")
    entry = CITE.format(
        key=pagename.replace("/", "-"),
        title=html.escape(title.astext() if title else pagename),
        version=html.escape(app.config.release or "0.1.0"),
        url=html.escape(f"{base.rstrip('/')}/{pagename}.html" if app.config.html_baseurl else base),
    )
    context["body"] += entry


def as_plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape what reStructuredText would read as markup: docstrings write |x| and coef_ as they mean them."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"(?<=\w)_(?!\w)", r"\\_", p.replace("|", r"\|")) for p in parts[::2]]
            lines[number] = "".join(parts)


ARRAY_LIKE = (
    "_Buffer | _SupportsArray[dtype[Any]] | _NestedSequence[_SupportsArray[dtype[Any]]] | complex | bytes | str"
    " | _NestedSequence[complex | bytes | str]"
)


def short_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write array types by the names that people know them by."""

    def short(text: str | None) -> str | None:
        if text is None:
            return None
        text = re.sub(r"~?numpy\._typing\.(?:_\w+\.)+", "", text)
        text = re.sub(r"~?\b(?:numpy|typing|collections\.abc)\.(?=\w)", "", text)
        text = text.replace(ARRAY_LIKE, "ArrayLike")
        return re.sub(r"ndarray\[tuple\[Any, \.\.\.\], dtype\[\w+\]\]", "ndarray", text)

    return short(signature), short(returns)


def skip_inherited_plumbing(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out the metadata-routing setters that scikit-learn adds to every estimator."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def use_local_assets(app: Sphinx, config: Any) -> None:
    """Point MathJax and the widget player at the local copies when they are there, else at their CDN."""
    static = Path(app.confdir) / "book/_static"
    config.nb_ipywidgets_js = vendored.widget_js_config(static)
    config.mathjax_path = vendored.mathjax_path(static)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register directives and events."""
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_directive("data-cards", DataCards)
    app.add_directive("run-report", RunReport)
    app.connect("config-inited", use_local_assets, priority=900)
    app.connect("autodoc-process-docstring", as_plain_text, priority=400)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("autodoc-skip-member", skip_inherited_plumbing)
    app.connect("html-page-context", add_citation, priority=900)
    app.connect("html-page-context", vendored.leave_out_thebe, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
