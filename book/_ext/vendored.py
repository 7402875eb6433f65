"""Where the rendered book finds require.js, the widget player and MathJax: local copies, else their CDN.

``scripts/vendor_assets.py`` fills ``<static>/vendor`` and moves it into place only when it is whole, so the files
that pages name stand for all of them. The versions on the CDN are those of the lock's major versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = "vendor"
REQUIRE = f"{FOLDER}/requirejs/require.js"
WIDGETS = f"{FOLDER}/html-manager/dist/embed-amd.js"
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
        Path below ``_static`` (or address) -> attributes of its script element, in the order of loading.
    """
    if is_whole(static):
        return {REQUIRE: {}, WIDGETS: {}}
    from myst_nb.core.config import ipywidgets_js_factory

    return ipywidgets_js_factory()


def mathjax_path(static: Path) -> str:
    """The script that typesets mathematics, for the Sphinx value ``mathjax_path``.

    Args:
        static: the book's folder of static files.

    Returns:
        A path below ``_static``, or the address on the CDN.
    """
    return MATHJAX if is_whole(static) else MATHJAX_CDN
