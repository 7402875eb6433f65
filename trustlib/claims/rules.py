"""Rules: what an interval has to look like for a claim to hold, and the verdict that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Verdict = Literal["supported", "not supported", "inconclusive", "not tested"]
RuleKind = Literal["above", "at_least", "below", "at_most", "within", "outside"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
RULE_KINDS: tuple[RuleKind, ...] = get_args(RuleKind)

_WORDS = {"above": "above", "at_least": "at least", "below": "below", "at_most": "at most"}


@dataclass(frozen=True)
class Rule:
    """A region that the whole interval of a statistic must lie in for the claim to be supported.

    The verdict for an interval [low, high] is "supported" where all of it lies in the region, "not
    supported" where none of it does, and "inconclusive" where it straddles the border. The regions are
    x > a (above), x >= a (at_least), x < a (below), x <= a (at_most), a <= x <= b (within), and
    x < a or x > b (outside).

    Numbers that differ from a border by rounding only (1e-9 of the border, 1e-12 around 0) count as
    lying on it. A control that is 1 in theory and 1 + 2e-16 in floating point is thus not "above 1".

    Args:
        kind: which region.
        bounds: the finite border or borders (a,) or (a, b) with a < b, in the statistic's unit.

    Raises:
        ValueError: an unknown kind, or borders that do not fit it.

    Example:
        >>> Rule("above", (1.0,)).decide(1.2, 1.9)
        'supported'
        >>> Rule("within", (-0.05, 0.05)).decide(-0.08, 0.01)
        'inconclusive'
    """

    kind: RuleKind
    bounds: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.kind not in RULE_KINDS:
            raise ValueError(f"kind is {self.kind!r}, allowed: {', '.join(RULE_KINDS)}")
        wanted = 2 if self.kind in ("within", "outside") else 1
        if len(self.bounds) != wanted or not all(map(math.isfinite, self.bounds)):
            raise ValueError(f"bounds are {self.bounds}, need {wanted} finite for the kind {self.kind}")
        if self.bounds[0] >= self.bounds[-1] and wanted == 2:
            raise ValueError(f"bounds are {self.bounds}, need the smaller first")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Rule:
        """The rule written as in claims.yml: one kind and its border or borders.

        Args:
            mapping: one item, such as ``{"above": 1}`` or ``{"within": [0.95, 1.05]}``; validated before.

        Example:
            >>> Rule.from_mapping({"at_most": 1})
            Rule(kind='at_most', bounds=(1.0,))
        """
        [(kind, border)] = mapping.items()
        borders = border if isinstance(border, list | tuple) else [border]
        return cls(kind, tuple(float(b) for b in borders))  # type: ignore[arg-type]

    def to_mapping(self) -> dict[str, Any]:
        """The rule as it stands in claims.yml and in records."""
        return {self.kind: self.bounds[0] if len(self.bounds) == 1 else list(self.bounds)}

    def decide(self, low: float, high: float) -> Verdict:
        """The verdict for the interval [low, high], low <= high."""
        if self._inside(low, high):
            return "supported"
        return "not supported" if self._disjoint(low, high) else "inconclusive"

    def holds(self, values: Iterable[float]) -> bool:
        """Whether every single value lies in the region."""
        return all(self._inside(v, v) for v in values)

    def worst(self, values: Sequence[float]) -> float:
        """The value that is closest to breaking the rule, or breaks it most; values are not empty.

        Example:
            >>> Rule("at_most", (1.0,)).worst([0.2, 0.9, 0.4])
            0.9
        """
        if self.kind in ("above", "at_least"):
            return min(values)
        if self.kind in ("below", "at_most"):
            return max(values)
        centre = sum(self.bounds) / 2
        pick = max if self.kind == "within" else min
        return pick(values, key=lambda v: abs(v - centre))

    def words(self) -> str:
        """The rule as a reader says it, for example ``at most 1`` or ``between 0.95 and 1.05``."""
        borders = [f"{b:g}" for b in self.bounds]
        if self.kind == "within":
            return f"between {borders[0]} and {borders[1]}"
        if self.kind == "outside":
            return f"below {borders[0]} or above {borders[1]}"
        return f"{_WORDS[self.kind]} {borders[0]}"

    def _inside(self, low: float, high: float) -> bool:
        """Whether all of [low, high] lies in the region."""
        first, last = self.bounds[0], self.bounds[-1]
        match self.kind:
            case "above":
                return low > first + _slack(first)
            case "at_least":
                return low >= first - _slack(first)
            case "below":
                return high < first - _slack(first)
            case "at_most":
                return high <= first + _slack(first)
            case "within":
                return low >= first - _slack(first) and high <= last + _slack(last)
            case "outside":
                return high < first - _slack(first) or low > last + _slack(last)

    def _disjoint(self, low: float, high: float) -> bool:
        """Whether none of [low, high] lies in the region, that is, all of it in the complement."""
        complement: dict[RuleKind, RuleKind] = {
            "above": "at_most", "at_least": "below", "below": "at_least",
            "at_most": "above", "within": "outside", "outside": "within",
        }  # fmt: skip
        return Rule(complement[self.kind], self.bounds)._inside(low, high)


def _slack(border: float) -> float:
    """How far rounding may carry a number away from a border that it equals in theory."""
    return 1e-9 * abs(border) if border else 1e-12
