"""Records: the machine-readable outcomes in executed notebooks and in the stored reference runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trustlib.claims.book import PROFILES, ClaimBook
from trustlib.claims.validation import ClaimsFileError, refuse, schema_problems
from trustlib.claims.verdicts import MIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trustlib.claims.verdicts import ClaimResult, PartResult

Record = dict[str, Any]


def record_of(result: ClaimResult) -> Record:
    """The outcome of one claim as JSON-serialisable data.

    Args:
        result: what `check` or `not_tested` returned.

    Returns:
        Mapping that obeys ``schemas/record.schema.json``; ``rules`` is the digest of the rules that decided.
    """
    claim = result.claim
    return {
        "schema": 1,
        "id": claim.id,
        "paper": claim.paper,
        "origin": claim.origin,
        "statement": claim.statement,
        "source": claim.source,
        "reported": claim.reported,
        "rules": claim.rules,
        "verdict": result.verdict,
        "reason": result.reason,
        "parts": [_part_record(p) for p in result.parts],
    }


def _part_record(result: PartResult) -> Record:
    """One part of a record."""
    part = result.part
    controls = [
        {
            "name": c.control.name,
            "statement": c.control.statement,
            **asdict(c.interval),
            "verdict": c.verdict,
            "failed": c.failed,
        }
        for c in result.controls
    ]
    return {
        "name": part.name,
        "statistic": part.statistic,
        "unit": part.unit,
        "interval": part.interval.to_mapping(),
        "rule": part.rule.to_mapping(),
        **asdict(result.interval),
        "verdict": result.verdict,
        "controls": controls,
    }


def collect(notebook: Mapping[str, Any] | str | Path) -> list[Record]:
    """The records of all claims that an executed notebook shows, in the order of its cells.

    Args:
        notebook: the notebook (as nbformat reads it, or parsed JSON), or its file.

    Returns:
        One record per card; a claim that was shown twice is there twice.

    Raises:
        ClaimsFileError: an output that calls itself a claim but is not one.
        FileNotFoundError: no such file.
    """
    where, cells = "notebook", []
    if isinstance(notebook, str | Path):
        where, cells = str(notebook), json.loads(Path(notebook).read_text("utf-8"))["cells"]
    else:
        cells = notebook["cells"]
    found: list[Record] = []
    for number, cell in enumerate(cells):
        for output in cell.get("outputs", ()):
            if MIME in output.get("data", {}):
                record = json.loads(json.dumps(output["data"][MIME]))
                refuse(f"{where}, cell {number + 1}", schema_problems(record, schema="record"))
                found.append(record)
    return found


def audit_coverage(
    claim_book: ClaimBook, paper: str, records: Iterable[Record], *, profile: str | None = None
) -> list[str]:
    """What is wrong between the claims file and what a notebook checked.

    Args:
        claim_book: the claims file.
        paper: the chapter's name.
        records: as `collect` returns them.
        profile: the run's profile, if it has one of the four names: a claim that the file promises to decide
            at this profile may then not be shown as "not tested".

    Returns:
        One sentence per problem: checked but unknown, of another paper, checked twice, decided by other rules
        than those in the file, listed but never checked. Empty when all is well.

    Example:
        >>> from trustlib.claims import load_claims
        >>> audit_coverage(load_claims(), "pdp_op", [])[0]
        'pdp_op-1 is listed in book/claims.yml, but pdp_op never checks it'
    """
    problems: list[str] = []
    seen: dict[str, int] = {}
    file = _short(claim_book)
    for record in records:
        name = record["id"]
        seen[name] = seen.get(name, 0) + 1
        if name not in claim_book:
            problems.append(f"{name} is checked in {paper}, but {file} does not list it")
        elif record["paper"] != paper:
            problems.append(f"{name} is checked in {paper}, but belongs to {record['paper']}")
        elif record["rules"] != claim_book[name].rules:
            problems.append(f"{name} was decided by rules that {file} no longer holds: run {paper} again")
        elif _breaks_promise(claim_book, record, profile):
            problems.append(
                f"{name} is shown as not tested, but {file} promises a decision at {profile}: "
                "check it, or take the profile out of its list"
            )
    problems += [
        f"{name} is checked {count} times in {paper}: keep one check"
        for name, count in seen.items()
        if count > 1
    ]
    problems += [
        f"{claim.id} is listed in {file}, but {paper} never checks it"
        for claim in claim_book.of(paper)
        if claim.id not in seen and (claim.status == "tested" or profile in claim.profiles)
    ]
    return problems


def _breaks_promise(claim_book: ClaimBook, record: Record, profile: str | None) -> bool:
    """Whether a run shows as not tested what the file promises to decide at its profile."""
    return record["verdict"] == "not tested" and profile in claim_book[record["id"]].profiles


def _short(claim_book: ClaimBook) -> str:
    """The claims file as a reader of a message finds it."""
    return "/".join(claim_book.path.parts[-2:])


def results_record(
    records: Iterable[Record], *, paper: str, profile: str, run: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of a stored reference run, ``book/results/<profile>/<paper>.json``.

    Args:
        records: as `collect` returns them.
        paper: the chapter's name.
        profile: "quick", "cpu", "gpu" or "paper".
        run: provenance of the run, stored as it is.

    Returns:
        Mapping with ``paper``, ``profile``, ``run`` and ``claims``, the latter sorted by number.

    Raises:
        ValueError: unknown profile, or a record that is invalid, of another paper, or there twice.
    """
    claims = sorted(records, key=lambda r: (str(r.get("id")).rpartition("-")[0], _number(r)))
    content = {"paper": paper, "profile": profile, "run": dict(run), "claims": claims}
    refuse(f"results of {paper} at {profile}", _results_problems(content, paper=paper, profile=profile))
    return content


def _number(record: Record) -> int:
    tail = str(record.get("id")).rpartition("-")[2]
    return int(tail) if tail.isdigit() else 0


def load_results(folder: str | Path) -> dict[str, dict[str, Record]]:
    """All stored reference runs: profile -> claim id -> record.

    Args:
        folder: holds ``<profile>/<paper>.json``; a folder that does not exist holds nothing.

    Returns:
        Only profiles that have a result.

    Raises:
        ClaimsFileError: a file that is not such a result, with the field and the value that came.
    """
    results: dict[str, dict[str, Record]] = {}
    for file in sorted(Path(folder).glob("*/*.json")):
        try:
            content = json.loads(file.read_text("utf-8"))
        except json.JSONDecodeError as error:
            raise ClaimsFileError(f"{file}: not readable as JSON: {error}; record the run again") from error
        profile = file.parent.name
        refuse(file, _results_problems(content, paper=file.stem, profile=profile))
        results.setdefault(profile, {}).update({r["id"]: r for r in content["claims"]})
    return results


def _results_problems(content: Any, *, paper: str, profile: str) -> list[str]:
    """What is wrong with the content of a results file, one line each."""
    if profile not in PROFILES:
        return [f"profile {profile!r} is unknown, allowed: {', '.join(PROFILES)}"]
    if not isinstance(content, dict) or not isinstance(content.get("claims"), list) or "run" not in content:
        return ["field claims or run: is missing; a result holds the list claims and the mapping run"]
    problems = [
        f"field {key}: got {content[key]!r}, allowed: {value}"
        for key, value in (("paper", paper), ("profile", profile))
        if content.get(key, value) != value
    ]
    for number, record in enumerate(content["claims"]):
        lines = schema_problems(record, schema="record")
        if not lines and record["paper"] != paper:
            lines = [f"field paper: got {record['paper']!r}, allowed: {paper}"]
        problems += [f"claims[{number}], {line}" for line in lines]
    if not problems:
        ids = [r["id"] for r in content["claims"]]
        problems += [f"claim {i}, field id: stands twice" for i in sorted(set(ids)) if ids.count(i) > 1]
    return problems
