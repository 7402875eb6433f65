"""What the rendered book runs in the browser, and where from: local copies, else their CDN.

``scripts/vendor_assets.py`` fills ``<static>/vendor`` and moves it into place only when it is whole, so the files
that pages name stand for all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = "vendor"
REQUIRE = f"{FOLDER}/requirejs/require.js"
PLAYER = f"{FOLDER}/html-manager/dist"
WIDGETS = f"{PLAYER}/embed-amd.js"
SETTINGS = "widgets.js"
MATHJAX = f"{FOLDER}/mathjax/es5/tex-mml-chtml.js"
MATHJAX_CDN = "https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-mml-chtml.js"


def is_whole(static: Path) -> bool:
    """Whether the local copies are there.

    Args:
        static: the book's folder of static files (an entry of ``html_static_path``).
    """
    return all((static / name).is_file() for name in (REQUIRE, WIDGETS, MATHJAX))


def widget_js_config(static: Path) -> dict[str, dict[str, Any]]:
    """The scripts of a page with widgets, for the Sphinx value ``nb_ipywidgets_js``.

    Args:
        static: the book's folder of static files.

    Returns:
        Path below ``_static`` (or address) -> attributes of its script element, in the order of loading:
        require.js, the book's settings for the player, the player.
    """
    if is_whole(static):
        return {REQUIRE: {}, SETTINGS: {"data-player": PLAYER}, WIDGETS: {}}
    from myst_nb.core.config import ipywidgets_js_factory

    (require, first), (widgets, second) = ipywidgets_js_factory().items()
    return {require: first, SETTINGS: {"data-player": widgets.rpartition("/")[0]}, widgets: second}


def mathjax_path(static: Path) -> str:
    """The script that typesets mathematics, for the Sphinx value ``mathjax_path``.

    Args:
        static: the book's folder of static files.

    Returns:
        A path below ``_static``, or the address on the CDN.
    """
    return MATHJAX if is_whole(static) else MATHJAX_CDN


def leave_out_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Take the scripts of Thebe out of a page (an event handler of ``html-page-context``).

    Jupyter Book adds them to every page, twice, which is an error in the browser; the book offers no Thebe button.
    """
    context["script_files"][:] = [script for script in context["script_files"] if not is_thebe(script)]


def is_thebe(script: Any) -> bool:
    """Whether a script of a page, as Sphinx keeps it, belongs to Thebe."""
    body = script.attributes.get("body") or ""
    return "thebe" in str(script.filename) or body.startswith("const THEBE_JS_URL")
