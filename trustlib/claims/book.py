"""The claims file: what is claimed, and the rules and controls that decide, fixed before any number."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from trustlib.claims.intervals import SETTINGS, IntervalSpec
from trustlib.claims.rules import Rule, Verdict
from trustlib.claims.validation import ClaimsFileError, closest, refuse, schema_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

Status = Literal["tested", "gpu_only", "not_testable"]
PROFILES = ("quick", "cpu", "gpu", "paper")
ENVIRONMENT = "TRUSTLIB_CLAIMS"


@dataclass(frozen=True)
class Part:
    """One statistic of a claim with the rule that decides it.

    Args:
        name: the key under which `check` receives the samples.
        statistic: what one sample is, in a sentence.
        unit: what varies from sample to sample, in the plural ("seeds").
        interval: how the interval is formed.
        rule: the region in which the whole interval must lie.
        otherwise: the verdict where a count or an exact computation misses the rule.
        reported: the authors' value of this very statistic, or None.
    """

    name: str
    statistic: str
    unit: str
    interval: IntervalSpec
    rule: Rule
    otherwise: Verdict = "not supported"
    reported: float | None = None

    def rule_words(self) -> str:
        """The rule as a reader says it, for example ``whole interval above 1``."""
        if self.interval.method == "count":
            return f"{self.rule.words()} of {self.interval.total}"
        return f"{'every value' if self.interval.method == 'exact' else 'whole interval'} {self.rule.words()}"


@dataclass(frozen=True)
class Control:
    """Samples where the effect is absent, or a bug is planted: they must not come out supported.

    Args:
        name: the key under which `check` receives the samples.
        statement: what the control is, in a sentence.
        part: name of the part whose interval and rule it is put through.
    """

    name: str
    statement: str
    part: str


@dataclass(frozen=True)
class Claim:
    """One claim of a paper ("paper") or of this book ("ours"), as written in the claims file.

    Args:
        id: paper's name, dash, number.
        paper: the chapter it belongs to.
        origin: who claims it.
        statement: the claim in our words.
        source: where the paper says so.
        reported: what the authors report, or None where nothing was found.
        status: "tested", "gpu_only" (with a reason) or "not_testable" (with a reason).
        note: what a reader has to know beside the verdict, or None.
        reason: why it is not tested everywhere, or None.
        profiles: the profiles at which its chapter decides it.
        parts: all must be supported for the claim to be.
        controls: all must fail for the claim to be supported.
    """

    id: str
    paper: str
    origin: Literal["paper", "ours"]
    statement: str
    source: str
    reported: str | float | None
    status: Status
    note: str | None = None
    reason: str | None = None
    profiles: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    controls: tuple[Control, ...] = ()

    @property
    def rules(self) -> str:
        """Digest of everything that decides (intervals, rules, controls), 16 hexadecimal digits.

        Records carry it, so that a result decided by an earlier rule is never shown as decided by this one.
        """
        deciding = [
            [[p.name, p.interval.to_mapping(), p.rule.to_mapping(), p.otherwise] for p in self.parts],
            [[c.name, c.part] for c in self.controls],
        ]
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]

    def part(self, name: str) -> Part:
        """The part of that name."""
        return next(p for p in self.parts if p.name == name)


@dataclass(frozen=True)
class ClaimBook:
    """All claims of one file; iterates in the file's order.

    Args:
        claims: the claims.
        path: the file they came from.

    Example:
        >>> book = load_claims()
        >>> book["pdp_op-8"].status
        'not_testable'
    """

    claims: tuple[Claim, ...]
    path: Path

    def __iter__(self) -> Iterator[Claim]:
        return iter(self.claims)

    def __len__(self) -> int:
        return len(self.claims)

    def __contains__(self, claim_id: object) -> bool:
        return any(c.id == claim_id for c in self.claims)

    def __getitem__(self, claim_id: str) -> Claim:
        for claim in self.claims:
            if claim.id == claim_id:
                return claim
        ids = [c.id for c in self.claims]
        same = [i for i in ids if i.rpartition("-")[0] == claim_id.rpartition("-")[0]]
        raise ValueError(
            f"claim {claim_id!r} is not in {self.path}, {closest(claim_id, ids)}known: "
            f"{', '.join(same or ids) or 'none'}. Write its rule and control down there before checking it."
        )

    def of(self, paper: str) -> tuple[Claim, ...]:
        """The claims of one paper; empty for a paper without any."""
        return tuple(c for c in self.claims if c.paper == paper)


def load_claims(path: str | Path | None = None) -> ClaimBook:
    """Read and validate a claims file.

    Args:
        path: the file; by default the first of: the file that the environment variable TRUSTLIB_CLAIMS names,
            the nearest ``book/claims.yml`` in or above the current folder, the one of the checkout that the
            library is installed from, the copy inside the installed package.

    Returns:
        The claims, in the file's order.

    Raises:
        ClaimsFileError: the file does not hold what it must; every problem is listed with claim and field.
        FileNotFoundError: no such file.
    """
    file = Path(path) if path is not None else _default_file()
    if not file.is_file():
        origin = "path" if path is not None else ENVIRONMENT
        raise FileNotFoundError(f"{origin} names the claims file {file}, which does not exist")
    state = file.stat()
    return _read(file.resolve(), state.st_mtime_ns, state.st_size)


def _default_file() -> Path:
    """Where the claims are when nobody says so."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    here = Path.cwd()
    package = Path(__file__).resolve().parent
    candidates = [folder / "book/claims.yml" for folder in (here, *here.parents, package.parents[1])]
    return next((c for c in candidates if c.is_file()), package / "claims.yml")


@lru_cache(maxsize=8)
def _read(file: Path, modified: int, size: int) -> ClaimBook:
    """Parse and validate one version of a file; the key changes when the file does."""
    try:
        content = yaml.load(file.read_text("utf-8"), Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ClaimsFileError(f"{file}: not readable as YAML: {error}") from error
    refuse(file, schema_problems(content, schema="claims"))
    refuse(file, [p for item in content["claims"] for p in _contradictions(item)] + _repeated_ids(content))
    return ClaimBook(tuple(_claim(item) for item in content["claims"]), file)


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice in one mapping is an error, not the loss of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice in one mapping", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _claim(item: dict[str, Any]) -> Claim:
    """The typed form of one validated entry."""
    parts = tuple(
        Part(**{**p, "interval": IntervalSpec(**p["interval"]), "rule": Rule.from_mapping(p["rule"])})
        for p in item.get("parts", ())
    )
    controls = tuple(Control(c["name"], c["statement"], c["part"]) for c in item.get("controls", ()))
    profiles = tuple(p for p in PROFILES if p in item.get("profiles", ()))
    return Claim(**{**item, "parts": parts, "controls": controls, "profiles": profiles})


def _repeated_ids(content: dict[str, Any]) -> list[str]:
    """Problems that no single entry shows."""
    ids = [item["id"] for item in content["claims"]]
    return [f"claim {i}, field id: stands {ids.count(i)} times; ids are unique" for i in _repeated(ids)]


def _repeated(names: list[str]) -> list[str]:
    return sorted({n for n in names if names.count(n) > 1})


def _contradictions(item: dict[str, Any]) -> list[str]:
    """Problems that the schema cannot express, one line each."""
    found: list[str] = []
    if item["id"].rpartition("-")[0] != item["paper"]:
        found.append(f"field paper: got {item['paper']!r}, allowed: the id's first part")
    parts, controls = item.get("parts", []), item.get("controls", [])
    names = [p["name"] for p in parts]
    found += [f"field parts: the name {n} stands twice" for n in _repeated(names)]
    found += [f"field controls: the name {n} stands twice" for n in _repeated([c["name"] for c in controls])]
    for number, control in enumerate(controls):
        if control["part"] not in names:
            hint = closest(control["part"], names)
            found.append(
                f"field controls[{number}].part: got {control['part']!r}, {hint}allowed: {', '.join(names)}"
            )
    for number, part in enumerate(parts):
        found += [f"field parts[{number}].{text}" for text in _part_contradictions(part)]
    return [f"claim {item['id']}, {text}" for text in found]


def _part_contradictions(part: dict[str, Any]) -> list[str]:
    """Settings that the interval method lacks or does not know, and regions that are empty."""
    settings = dict(part["interval"])
    method = settings.pop("method")
    needed = SETTINGS[method]
    found = [f"interval.{k}: is missing; method {method} needs it" for k in needed if k not in settings]
    known = f"allowed with method {method}: {', '.join(needed) or 'nothing else'}"
    found += [f"interval.{k}: got {settings[k]!r}, {known}" for k in settings if k not in needed]
    [(kind, borders)] = part["rule"].items()
    if isinstance(borders, list) and not borders[0] < borders[1]:
        found.append(f"rule.{kind}: got {borders}, allowed: two numbers, the smaller first")
    if "otherwise" in part and method not in ("count", "exact"):
        found.append(f"otherwise: only goes with method count or exact, got method {method}")
    return found
