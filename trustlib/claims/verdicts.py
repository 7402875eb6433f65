"""Verdicts: samples in, one of four words out, with the numbers that led to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trustlib.claims.book import Claim, Control, Part, load_claims
from trustlib.claims.intervals import Interval, interval
from trustlib.claims.rules import Verdict
from trustlib.claims.validation import closest

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

MIME = "application/vnd.trustlib.claim+json"


@dataclass(frozen=True)
class ControlResult:
    """What one control gave under the rule of its part.

    Args:
        control: the control as written in the claims file.
        interval: its estimate and interval.
        verdict: what the rule says about it.
    """

    control: Control
    interval: Interval
    verdict: Verdict

    @property
    def failed(self) -> bool:
        """Whether it failed, as a control must."""
        return self.verdict != "supported"


@dataclass(frozen=True)
class PartResult:
    """What one part of a claim gave.

    Args:
        part: the part as written in the claims file.
        interval: its estimate and interval.
        verdict: what its rule says.
        controls: the controls that were put through the same rule.
    """

    part: Part
    interval: Interval
    verdict: Verdict
    controls: tuple[ControlResult, ...] = ()


@dataclass(frozen=True)
class ClaimResult:
    """The outcome of one claim in one run; shows itself as a card in a notebook.

    Args:
        claim: the claim as written in the claims file.
        verdict: "supported", "not supported", "inconclusive" or "not tested".
        parts: one result per part; empty for "not tested".
        reason: why it is not tested, or why it is less than its parts say; None otherwise.
    """

    claim: Claim
    verdict: Verdict
    parts: tuple[PartResult, ...] = ()
    reason: str | None = None

    def part(self, name: str) -> PartResult:
        """The result of one part.

        Raises:
            ValueError: the claim has no part of that name, or was not tested.
        """
        for result in self.parts:
            if result.part.name == name:
                return result
        known = ", ".join(r.part.name for r in self.parts) or "none, because it was not tested"
        raise ValueError(f"claim {self.claim.id} has no result for a part {name!r}; it has: {known}")

    def to_record(self) -> dict[str, Any]:
        """The outcome as JSON-serialisable data, the content of the notebook's machine-readable output."""
        from trustlib.claims.records import record_of

        return record_of(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from trustlib.claims import card

        return {
            "text/html": card.html_card(self),
            "text/latex": card.latex_card(self),
            "text/plain": card.text_card(self),
            MIME: self.to_record(),
        }

    def __str__(self) -> str:
        from trustlib.claims import card

        return card.text_card(self)


def check(
    claim_id: str,
    samples: Mapping[str, ArrayLike] | ArrayLike,
    *,
    controls: Mapping[str, ArrayLike] | ArrayLike | None = None,
    path: str | Path | None = None,
) -> ClaimResult:
    """Decide a claim by the rule that its claims file fixed beforehand.

    Every part gets an interval from its samples and a verdict from its rule. The claim is supported if all
    parts are and every control failed; not supported if any part is not; inconclusive otherwise. Nothing is
    printed and no random state is touched: the bootstrap is seeded by the names of claim, part and control.

    Args:
        claim_id: such as ``"pdp_op-3"``.
        samples: part name -> samples, shape (n,), finite, one value per unit (a number counts as one sample).
            The bare array will do where the claim has a single part.
        controls: control name -> samples, likewise; all the controls of the claim are required.
        path: the claims file; see `load_claims` for the default.

    Returns:
        Verdict, estimates, intervals and controls.

    Raises:
        ValueError: unknown claim, part or control, or samples missing, not finite, not (n,), or too few.

    Example:
        >>> result = check(
        ...     "pdp_op-3",
        ...     {"ratio_to_prediction": [0.99, 1.01, 1.0, 1.0], "gain": [1500, 1620, 1580, 1600]},
        ...     controls={"unsquared_prediction": [43, 41, 44, 42], "equal_epsilon": [1, 1, 1, 1]},
        ... )
        >>> result.verdict
        'supported'
    """
    claim = load_claims(path)[claim_id]
    if claim.status == "not_testable":
        raise ValueError(
            f"claim {claim.id} is not testable ({claim.reason}): show it with not_tested({claim.id!r})"
        )
    values = _named_samples(claim, "samples", samples, [p.name for p in claim.parts])
    given = {} if controls is None else controls
    nulls = _named_samples(claim, "controls", given, [c.name for c in claim.controls])
    parts = tuple(_part_result(claim, part, values[part.name], nulls) for part in claim.parts)
    verdict, reason = _combine(parts)
    return ClaimResult(claim, verdict, parts, reason)


def not_tested(claim_id: str, reason: str | None = None, *, path: str | Path | None = None) -> ClaimResult:
    """The card of a claim that this run does not decide.

    Args:
        claim_id: such as ``"pdp_op-8"``.
        reason: why, in a sentence; by default the reason in the claims file.
        path: the claims file; see `load_claims` for the default.

    Returns:
        A result with the verdict "not tested".

    Raises:
        ValueError: unknown claim, or no reason given for a claim that the file calls tested.

    Example:
        >>> not_tested("pdp_op-8").verdict
        'not tested'
    """
    book = load_claims(path)
    claim = book[claim_id]
    why = reason or claim.reason
    if not why:
        raise ValueError(f"claim {claim.id} is tested according to {book.path}: give the reason why not here")
    return ClaimResult(claim, "not tested", reason=why)


def _named_samples(
    claim: Claim, argument: str, given: Mapping[str, ArrayLike] | ArrayLike, names: list[str]
) -> dict[str, NDArray[np.float64]]:
    """The samples by name as checked arrays; all names present, none unknown."""
    if not isinstance(given, Mapping):
        if len(names) != 1:
            raise ValueError(
                f"claim {claim.id}: {argument} is a bare array, but there are {len(names)} of them: "
                f"give a mapping with the keys {', '.join(names)}"
            )
        given = {names[0]: given}
    unknown = [str(name) for name in given if name not in names]
    if unknown:
        hint = closest(unknown[0], names)
        allowed = ", ".join(names) or "none"
        raise ValueError(f"claim {claim.id}: {argument} has no key {unknown[0]!r}, {hint}allowed: {allowed}")
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError(
            f"claim {claim.id}: {argument} lacks {', '.join(missing)}; a claim is only decided with all of "
            f"{', '.join(names)}, or shown with not_tested({claim.id!r}, reason)"
        )
    return {name: _finite(f"claim {claim.id}: {argument}[{name!r}]", given[name]) for name in names}


def _finite(place: str, values: ArrayLike) -> NDArray[np.float64]:
    """Samples as a finite vector."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{place} must be numbers, one per unit, got a {type(values).__name__} that does not convert "
            f"({error}); detach tensors and move them to the CPU first"
        ) from error
    if array.ndim != 1:
        raise ValueError(
            f"{place} has shape {array.shape}, need (n,): average over all but the unit that varies"
        )
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise ValueError(
            f"{place} has {bad} of {array.size} values that are NaN or infinite: find out why instead of "
            "dropping them; for an unbounded quantity give a finite value that it exceeds"
        )
    return array


def _part_result(claim: Claim, part: Part, values: NDArray[np.float64], nulls: dict[str, Any]) -> PartResult:
    """Interval, verdict and controls of one part."""
    own = [c for c in claim.controls if c.part == part.name]
    results = []
    for control in own:
        found, verdict = _judge(claim, part, nulls[control.name], name=control.name)
        results.append(ControlResult(control, found, verdict))
    found, verdict = _judge(claim, part, values, name="")
    return PartResult(part, found, verdict, tuple(results))


def _judge(claim: Claim, part: Part, values: NDArray[np.float64], *, name: str) -> tuple[Interval, Verdict]:
    """Interval and verdict of one set of samples; the seed depends on nothing but the names."""
    seed = hashlib.sha256(f"{claim.id}/{part.name}/{name}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    try:
        found = interval(values, part.interval, rng=rng)
    except ValueError as error:
        what = f"controls[{name!r}]" if name else f"samples[{part.name!r}]"
        raise ValueError(f"claim {claim.id}: {what} (unit: {part.unit}): {error}") from error
    if part.interval.method == "exact":
        worst = replace(found, estimate=part.rule.worst(values.tolist()))
        return worst, "supported" if part.rule.holds(values) else part.otherwise
    if part.interval.method == "count":
        return found, "supported" if part.rule.holds([found.estimate]) else part.otherwise
    return found, part.rule.decide(found.low, found.high)


def _combine(parts: tuple[PartResult, ...]) -> tuple[Verdict, str | None]:
    """The verdict of the claim from those of its parts and controls."""
    verdicts = {p.verdict for p in parts}
    if "not supported" in verdicts:
        return "not supported", None
    if "inconclusive" in verdicts:
        return "inconclusive", None
    passed = [c.control.name for p in parts for c in p.controls if not c.failed]
    if passed:
        many = "controls" if len(passed) > 1 else "control"
        return "inconclusive", (
            f"The {many} {', '.join(passed)} came out supported too, so the rule does not separate the claim "
            "from the case where it is false."
        )
    return "supported", None
