"""The rendered book as a reader without network sees it, opened from the disk."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.browser

LIMIT = 3_500_000  # bytes of one page
FILE_NAME = re.compile(r"\S*(/|\.(png|jpe?g|svg|gif|webp))\S*", re.I)
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
STYLES = {"stylesheet", "preload", "modulepreload", "icon"}


class Document(HTMLParser):
    """Elements of a page: where links lead, what is loaded, what can be linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.names: set[str] = set()
        self.alts: list[str] = []
        self.classes: set[str] = set()
        self.redirects = False

    def handle_starttag(self, tag, attrs):
        values = {key: value or "" for key, value in attrs}
        self.names |= {values[key] for key in ("id", "name") if values.get(key)}
        self.classes |= set(values.get("class", "").split())
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and STYLES & set(values.get("rel", "").split()):
            self.loaded.append(values["href"])
        if tag in LOADED and values.get(LOADED[tag]):
            self.loaded.append(values[LOADED[tag]])
        if values.get("http-equiv") == "Refresh":
            self.redirects = True
            self.links.append(values["content"].partition("url=")[2])
        if tag == "img" and "toggler" not in values.get("class", ""):  # a button of Sphinx's module index
            self.alts.append(values.get("alt", ""))


@cache
def document(path: Path) -> Document:
    """A parsed page."""
    parsed = Document()
    parsed.feed(path.read_text("utf-8"))
    return parsed


def pages(book):
    """All pages, without the theme's templates among the static files."""
    return sorted(p for p in book.rglob("*.html") if "_static" not in p.relative_to(book).parts)


def chapters(book):
    return sorted((book / "notebooks").glob("*.html"))


def broken(page, address):
    """Why an address on a page leads nowhere; None if it leads somewhere, or away from the book."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or address in ("", "#"):
        return None
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return f"{page.name}: {address} is missing"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in document(target).names:
        return f"{page.name}: {address} has no such place"
    return None


def is_description(alt):
    """Whether an alternative text says something: more than one word and not the name of a file."""
    return len(alt.split()) > 1 and not FILE_NAME.fullmatch(alt.strip())


def test_broken_sees_missing_files_and_places(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<h1 id="here">x</h1><img src="a.png" alt="a.png"><script src="https://far.example/x.js">'
    )
    assert broken(page, "#here") is None
    assert broken(page, "page.html?q=1#here") is None
    assert broken(page, "https://far.example/") is None
    assert "no such place" in broken(page, "#there")
    assert "missing" in broken(page, "other.html")
    assert document(page).loaded == ["a.png", "https://far.example/x.js"]
    assert not is_description(document(page).alts[0])
    assert is_description("Line plot, loss against ε.")


def test_internal_links_and_files_resolve(book):
    found = [broken(p, a) for p in pages(book) for a in document(p).links + document(p).loaded]
    assert [reason for reason in found if reason] == []


def test_nothing_is_loaded_from_elsewhere(book):
    far = [f"{p.name}: {a}" for p in pages(book) for a in document(p).loaded if urlsplit(a).netloc]
    assert far == [], "run scripts/vendor_assets.py, then `make book`"


def test_every_image_is_described(book):
    poor = [f"{p.name}: {alt!r}" for p in pages(book) for alt in document(p).alts if not is_description(alt)]
    assert poor == []


def test_chapters_hold_no_errors_and_stay_light(book):
    for page in chapters(book):
        assert not {"stderr", "traceback"} & document(page).classes, page.name
        assert "Traceback (most recent call last)" not in page.read_text("utf-8"), page.name
        assert page.stat().st_size < LIMIT, page.name


def test_pages_load_without_error_or_failed_request(book, visit):
    for page in (p for p in pages(book) if not document(p).redirects):
        visit.open(page)
        visit.page.wait_for_load_state("networkidle")
        assert (page.name, visit.errors, visit.failed) == (page.name, [], [])


def test_chapters_typeset_their_mathematics(book, visit):
    for page in chapters(book):
        visit.open(page)
        assert visit.page.locator("mjx-container").count() > 0, page.name
        assert visit.page.locator("mjx-merror").count() == 0, page.name
        assert visit.page.locator(".math:not(:has(mjx-container))").count() == 0, page.name


def test_every_slider_moves_its_picture_by_keyboard(book, visit):
    page = visit.open(book / "notebooks/pdp_op.html")
    page.locator(".trustlib-frames img").first.wait_for(state="visible")
    for view in page.locator(".trustlib-frames").all():
        for handle in view.locator(".noUi-handle").all():
            assert handle.get_attribute("aria-label")
            for key in ("ArrowRight", "ArrowLeft"):
                before, after = visit.press(view, handle, key)
                assert len(before) == len(after) == 1
                assert before != after
                assert is_description(view.locator("img:visible").get_attribute("alt"))
    assert (visit.errors, visit.failed) == ([], [])


def test_ledger_filters_by_paper_and_verdict(book, visit):
    page = visit.open(book / "book/claims.html")
    ledger = page.locator(".tl-ledger")
    rows = ledger.locator("tbody tr")
    everything = rows.count()
    counts = set()
    for key in ("paper", "verdict"):
        select = ledger.locator(f"select[name={key}]")
        for choice in select.locator("option").evaluate_all("all => all.map(o => o.value)"):
            select.select_option(choice)
            wanted = ledger.locator(f"tbody tr[data-{key}='{choice}']").count() if choice else everything
            assert ledger.locator("tbody tr:visible").count() == wanted, (key, choice)
            counts.add(wanted)
        select.select_option("")
    assert everything > 0
    assert len(counts) > 1


def test_search_finds_a_chapter_without_a_server(book, visit):
    page = visit.open(book / "search.html", query="?q=privacy")
    page.locator("#search-results li a").first.wait_for(state="visible")
    # Excerpts of the hits are fetched, which browsers refuse to pages opened from the disk; the hits remain.
    assert all(address.startswith("file:") for address in visit.failed)
