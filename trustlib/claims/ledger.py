"""The ledger: every claim with what was reported, what was measured at each profile, and the verdict."""

from __future__ import annotations

import html
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from trustlib.claims.book import PROFILES, Claim, ClaimBook
from trustlib.claims.card import number, reported, style, verdict_html
from trustlib.claims.rules import VERDICTS, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from trustlib.claims.records import Record


@dataclass(frozen=True)
class LedgerRow:
    """One claim with its outcomes.

    Args:
        claim: the claim as it stands in the claims file now.
        records: profile -> record; profiles without a result are missing.
        outdated: profiles whose result was decided by rules that the file no longer holds.
        verdict: that of the largest profile that decided by the present rules, or "not tested".
        profile: the profile that the verdict comes from, or None.
    """

    claim: Claim
    records: Mapping[str, Record]
    outdated: tuple[str, ...]
    verdict: Verdict
    profile: str | None


def ledger(
    book: ClaimBook,
    results: Mapping[str, Mapping[str, Record]],
    *,
    current: Iterable[Record] = (),
    profile: str | None = None,
) -> list[LedgerRow]:
    """All claims in the file's order, each with its stored results and those of the run at hand.

    Args:
        book: the claims file.
        results: as `load_results` returns them.
        current: records of the run at hand; they take the place of stored ones at the same profile.
        profile: the profile of the run at hand; needed with ``current``.

    Returns:
        One row per claim, tested or not.

    Raises:
        ValueError: a result for a claim that the file does not list, or current records without a profile.

    Example:
        >>> from trustlib.claims import load_claims
        >>> rows = ledger(load_claims(), {})
        >>> rows[0].verdict
        'not tested'
    """
    merged = dict(results)
    fresh = {r["id"]: r for r in current}
    if fresh and profile not in PROFILES:
        raise ValueError(f"profile of the current records is {profile!r}, allowed: {', '.join(PROFILES)}")
    if fresh and profile is not None:
        merged[profile] = {**merged.get(profile, {}), **fresh}
    for name, records in merged.items():
        strangers = [i for i in records if i not in book]
        if strangers:
            raise ValueError(
                f"there is a result at {name} for {', '.join(strangers)}, which {book.path} does not list: "
                "list the claim or record the run again"
            )
    return [_row(claim, merged) for claim in book]


def _row(claim: Claim, results: Mapping[str, Mapping[str, Record]]) -> LedgerRow:
    """One claim, with the verdict of the largest profile that counts."""
    records = {p: results[p][claim.id] for p in PROFILES if claim.id in results.get(p, {})}
    outdated = tuple(p for p, r in records.items() if r["rules"] != claim.rules)
    for profile in reversed(PROFILES):
        record = records.get(profile)
        if record and profile not in outdated and record["verdict"] != "not tested":
            return LedgerRow(claim, records, outdated, record["verdict"], profile)
    return LedgerRow(claim, records, outdated, "not tested", None)


def _shown_profiles(rows: Sequence[LedgerRow]) -> list[str]:
    """quick, cpu and gpu always; paper where somebody ran it."""
    return [p for p in PROFILES if p != "paper" or any(p in row.records for row in rows)]


def ledger_html(rows: Sequence[LedgerRow], *, link: Callable[[str], str]) -> str:
    """The ledger as self-contained HTML with filters by paper, verdict and origin.

    Args:
        rows: as `ledger` returns them.
        link: from a paper's name to the address of its chapter.

    Returns:
        One ``div`` with its own style and script; without scripts the whole table shows, without filters.
    """
    profiles = _shown_profiles(rows)
    heads = ["Claim", "Reported", *profiles, "Verdict"]
    script = resources.files("trustlib.claims").joinpath("assets/ledger.js").read_text("utf-8")
    body = "\n".join(_html_row(row, profiles, link) for row in rows)
    return (
        f'<div class="tl-ledger"><style>{style("verdict")}{style("ledger")}</style>\n{_filters(rows)}\n'
        '<div class="tl-scroll" tabindex="0" role="region" aria-label="Ledger of claims">'
        '<table aria-label="All claims"><thead><tr>'
        + "".join(f'<th scope="col">{h}</th>' for h in heads)
        + f"</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n<script>{script}</script></div>"
    )


def _filters(rows: Sequence[LedgerRow]) -> str:
    """A form that only scripts reveal."""
    papers = list(dict.fromkeys(row.claim.paper for row in rows))
    choices: dict[str, Sequence[str]] = {"paper": papers, "verdict": VERDICTS, "origin": ("paper", "ours")}
    labels = {"paper": "Paper", "verdict": "Verdict", "origin": "Claimed by"}
    selects = [
        f'<label>{labels[key]} <select name="{key}"><option value="">all</option>'
        + "".join(f'<option value="{v}">{_origin(v) if key == "origin" else v}</option>' for v in values)
        + "</select></label>"
        for key, values in choices.items()
    ]
    return f'<form hidden>{"".join(selects)}<output aria-live="polite"></output></form>'


def _origin(value: str) -> str:
    return "the paper" if value == "paper" else "this book"


def _html_row(row: LedgerRow, profiles: Sequence[str], link: Callable[[str], str]) -> str:
    """One claim as a table row that the filters can read."""
    claim = row.claim
    where = f'<span class="tl-aside">at {row.profile}</span>' if row.profile else ""
    where += f'<span class="tl-aside">{html.escape(claim.reason)}</span>' if claim.reason else ""
    cells = "".join(f"<td>{_html_cell(row, p)}</td>" for p in profiles)
    return (
        f'<tr id="claim-{claim.id}" data-paper="{claim.paper}" data-verdict="{row.verdict}" '
        f'data-origin="{claim.origin}"><th scope="row">'
        f'<a href="{html.escape(link(claim.paper))}">{claim.id}</a>'
        f"{' (ours)' if claim.origin == 'ours' else ''} {html.escape(claim.statement)}"
        f'<span class="tl-aside">{html.escape(claim.source)}</span></th>'
        f"<td>{html.escape(reported(claim))}</td>{cells}<td>{verdict_html(row.verdict)}{where}</td></tr>"
    )


def _html_cell(row: LedgerRow, profile: str) -> str:
    """What one profile gave: its verdict and the interval of every part."""
    record = row.records.get(profile)
    if record is None:
        return "–"
    items = "".join(f"<li>{html.escape(text)}</li>" for text in _part_texts(record))
    old = '<span class="tl-aside">decided by an earlier rule</span>' if profile in row.outdated else ""
    return f"{verdict_html(record['verdict'])}{old}" + (f"<ul>{items}</ul>" if items else "")


def _part_texts(record: Record) -> list[str]:
    """``name 1.2 [1.1, 1.3]`` for every part, with a note where a control did not fail."""
    texts = []
    for part in record["parts"]:
        low, high = number(part["low"]), number(part["high"])
        ends = "" if low == high else f" [{low}, {high}]"
        passed = [c["name"] for c in part["controls"] if not c["failed"]]
        note = f"; control {', '.join(passed)} did not fail" if passed else ""
        texts.append(f"{part['name']} {number(part['estimate'])}{ends}{note}")
    return texts


def ledger_markdown(rows: Sequence[LedgerRow], *, link: Callable[[str], str]) -> str:
    """The ledger as a Markdown table, for PDF and for reading without a browser.

    Args:
        rows: as `ledger` returns them.
        link: from a paper's name to the address of its chapter.

    Returns:
        A pipe table with the columns of `ledger_html`.
    """
    profiles = _shown_profiles(rows)
    heads = ["Claim", "Reported", *profiles, "Verdict"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        claim = row.claim
        at = f" (at {row.profile})" if row.profile else ""
        cells = [
            f"[{claim.id}]({link(claim.paper)}) {claim.statement}",
            reported(claim),
            *(_markdown_cell(row, p) for p in profiles),
            f"{row.verdict}{at}",
        ]
        lines.append("| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |")
    return "\n".join(lines)


def _markdown_cell(row: LedgerRow, profile: str) -> str:
    """What one profile gave, in a line."""
    record = row.records.get(profile)
    if record is None:
        return "–"
    old = " (by an earlier rule)" if profile in row.outdated else ""
    return "; ".join([f"{record['verdict']}{old}", *_part_texts(record)])
