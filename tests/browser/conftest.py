"""A browser without network, and what a page says in it.

The book that is looked at lies in ``_build/html``, where ``make book`` puts it, or in ``$TRUSTLIB_BOOK_HTML``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOCAL = ("file:", "data:", "blob:", "about:", "http://localhost:", "http://127.0.0.1:")
PATIENCE = 60_000  # ms: for machines with other work, never asserted on
PICTURES = """view => [...view.querySelectorAll("img")].filter(i => i.offsetParent && i.naturalWidth).map(i => i.src)"""


class Visit:
    """A page, and what went wrong on it.

    Attributes:
        page: Playwright's page.
        errors: console errors and uncaught exceptions.
        failed: addresses that were asked for and did not come, foreign ones included: they are blocked.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.failed: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda request: self.failed.append(request.url))

    def open(self, path: Path, *, query: str = "") -> Any:
        """Open a file, wait for its scripts and, where there is mathematics, for the typesetting."""
        self.page.goto(path.as_uri() + query, wait_until="load")
        self.page.evaluate("window.MathJax && MathJax.startup ? MathJax.startup.promise.then(() => 1) : 1")
        return self.page

    def pictures(self, view: Any) -> list[str]:
        """Addresses of the pictures that are seen inside an element."""
        return view.evaluate(PICTURES)

    def press(self, view: Any, handle: Any, key: str) -> tuple[list[str], list[str]]:
        """Press a key on a slider's handle: the pictures of the view before and after.

        Where the slider stands at that end already, it is taken to the other end first.
        """
        handle.scroll_into_view_if_needed()
        handle.focus()
        end = "aria-valuemax" if key == "ArrowRight" else "aria-valuemin"
        if handle.get_attribute("aria-valuenow") == handle.get_attribute(end):
            self.page.keyboard.press("Home" if key == "ArrowRight" else "End")
        view.locator("img").first.wait_for(state="visible")
        before = self.pictures(view)
        self.page.keyboard.press(key)
        moved = f"([view, old]) => {{ const now = ({PICTURES})(view); return now.length && now[0] !== old; }}"
        self.page.wait_for_function(moved, arg=[view.element_handle(), before[0]])
        return before, self.pictures(view)


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """A fresh page that reaches files of this machine and nothing else."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.route(
        lambda url: not url.startswith(LOCAL),
        lambda route: route.abort("internetdisconnected"),
    )
    yield Visit(context.new_page())
    context.close()


@pytest.fixture(scope="session")
def book(root: Path) -> Path:
    """The rendered book, or a counted skip."""
    folder = Path(os.environ.get("TRUSTLIB_BOOK_HTML", root / "_build/html"))
    if not (folder / "notebooks").is_dir():
        pytest.skip(f"browser: no rendered book in {folder}; run `make book`")
    return folder
