"""A ledger of releases: what was spent on whom, under which neighbouring relation, and what it adds up to."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from trustlib.privacy.budgets import (
    ZCDP,
    ApproxDP,
    Budget,
    GaussianDP,
    PersonalizedDP,
    PureDP,
    budget_from_dict,
    budget_to_dict,
)

if TYPE_CHECKING:
    import pandas as pd

Relation = Literal["substitution", "add_remove", "zero_out"]


class BudgetExceeded(RuntimeError):
    """A release would have passed the limit of a ledger; nothing was recorded and nothing may be released."""


@dataclass(frozen=True)
class Entry:
    """One release: a label, its budget, and the disjoint part of the data it touched (None: all of it)."""

    label: str
    budget: Budget
    part: str | None = None


class PrivacyLedger:
    """Releases on one data set and the guarantee that all of them together still give.

    Sequential composition: pure levels add up, zCDP levels add up, Gaussian levels add as squares, personalised
    levels add per record, (epsilon, delta) pairs add component-wise. Mixtures are added in the strongest currency that
    all of them have. Releases on disjoint parts of the data (``part``) compose in parallel: the worst part counts.

    Args:
        relation: which data sets are neighbours; a budget proved for another relation must not be recorded here.
            "substitution": one record exchanged, "add_remove": one record more or fewer, "zero_out": one replaced by
            a null record.
        unit: who is protected, in words ("one patient", "one image with all its views").
        limit: budget that the total may not exceed; None for no limit.

    Raises:
        ValueError: an unknown relation or an empty unit.

    Example:
        >>> ledger = PrivacyLedger("substitution", unit="one person")
        >>> ledger.spend("mean", PureDP(0.5), relation="substitution")
        >>> ledger.spend("model", PureDP(1.0), relation="substitution")
        >>> ledger.total()
        PureDP(epsilon=1.5, bounded_range=False)

    Source: sequential and parallel composition as in Dwork and Roth 2014, ch. 3; zCDP: Bun and Steinke 2016,
    Lemma 1.7; Gaussian: Dong, Roth, Su 2022, Cor. 3.3; personalised: Jorgensen et al. 2015, Thm. 1.
    """

    def __init__(self, relation: Relation, *, unit: str, limit: Budget | None = None) -> None:
        if relation not in get_args(Relation):
            raise ValueError(f"relation must be one of {', '.join(get_args(Relation))}, got {relation!r}.")
        if not (isinstance(unit, str) and unit.strip()):
            raise ValueError(f"unit must say who is protected, for instance 'one person', got {unit!r}.")
        self.relation = relation
        self.unit = unit
        self.limit = limit
        self._entries: list[Entry] = []

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All recorded releases, oldest first."""
        return tuple(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def spend(self, label: str, budget: Budget, *, relation: Relation, part: str | None = None) -> None:
        """Record a release; do this before the release leaves the curator.

        Args:
            label: what is released.
            budget: its guarantee.
            relation: the neighbouring relation for which the guarantee was proved.
            part: name of the disjoint part of the data that the release depends on; None for all of it. Which record
                belongs to which part must be public or fixed beforehand.

        Raises:
            ValueError: a guarantee for another relation, or personalised levels for another number of records.
            TypeError: budget is not a budget of this module.
            BudgetExceeded: the total would pass the limit; the ledger stays as it was.
        """
        if not isinstance(budget, PureDP | ZCDP | GaussianDP | ApproxDP | PersonalizedDP):
            raise TypeError(
                f"budget must be PureDP, ZCDP, GaussianDP, ApproxDP or PersonalizedDP, got {budget!r}."
            )
        if relation != self.relation:
            raise ValueError(
                f"{label!r} was proved for the relation {relation!r}, this ledger counts {self.relation!r}. A "
                "guarantee does not carry over by itself (a substitution is two steps of add_remove). Keep two ledgers."
            )
        trial = [*self._entries, Entry(label, budget, part)]
        total = compose_entries(trial)
        if self.limit is not None and exceeds(total, self.limit):
            raise BudgetExceeded(
                f"{label!r} would bring the total to {total}, beyond the limit {self.limit}."
            )
        self._entries = trial

    def total(self) -> Budget | None:
        """The guarantee of all releases together, or None if there was none."""
        return compose_entries(self._entries) if self._entries else None

    def to_frame(self) -> pd.DataFrame:
        """One row per release: label, part, kind of guarantee and its parameters."""
        import pandas as pd

        rows = []
        for entry in self._entries:
            values = budget_to_dict(entry.budget)
            if isinstance(entry.budget, PersonalizedDP):
                values["epsilon"] = f"{entry.budget.strongest:g} to {entry.budget.weakest:g}"
            rows.append({"label": entry.label, "part": entry.part or "all", **values})
        return pd.DataFrame(rows)

    def to_json(self) -> str:
        """The whole ledger as JSON text; `from_json` reads it back."""
        entries = [
            {"label": e.label, "part": e.part, "budget": budget_to_dict(e.budget)} for e in self._entries
        ]
        limit = None if self.limit is None else budget_to_dict(self.limit)
        return json.dumps({"relation": self.relation, "unit": self.unit, "limit": limit, "entries": entries})

    @classmethod
    def from_json(cls, text: str) -> PrivacyLedger:
        """The ledger written by `to_json`."""
        content = json.loads(text)
        limit = None if content["limit"] is None else budget_from_dict(content["limit"])
        ledger = cls(content["relation"], unit=content["unit"], limit=limit)
        for entry in content["entries"]:
            ledger._entries.append(Entry(entry["label"], budget_from_dict(entry["budget"]), entry["part"]))
        return ledger


def compose(budgets: list[Budget]) -> Budget:
    """The guarantee of several releases on the same data, in the strongest currency that all of them have.

    Args:
        budgets: at least one budget.

    Returns:
        Pure with pure, personalised with pure or personalised, Gaussian with Gaussian: same kind. Otherwise zCDP, and
        (epsilon, delta) as soon as one of them is: the others then enter with the delta of that one each.

    Raises:
        ValueError: no budget, or personalised levels of different lengths.

    Example:
        >>> compose([GaussianDP(3.0), GaussianDP(4.0)])
        GaussianDP(mu=5.0)
    """
    if not budgets:
        raise ValueError("budgets must hold at least one budget, got none.")
    if len(budgets) == 1:
        return budgets[0]
    personal = [b for b in budgets if isinstance(b, PersonalizedDP)]
    if personal and all(isinstance(b, PersonalizedDP | PureDP) for b in budgets):
        return _compose_personal(budgets, len(personal[0]))
    if all(isinstance(b, PureDP) for b in budgets):
        return PureDP(math.fsum(b.epsilon for b in budgets))  # type: ignore[union-attr]
    if all(isinstance(b, GaussianDP) for b in budgets):
        return GaussianDP(math.hypot(*(b.mu for b in budgets)))  # type: ignore[union-attr]
    deltas = [b.delta for b in budgets if isinstance(b, ApproxDP) and b.delta > 0]
    if any(isinstance(b, ApproxDP) for b in budgets):
        return _compose_approx(budgets, min(deltas, default=0.0))
    return ZCDP(math.fsum(b.to_zcdp().rho for b in budgets))


def compose_entries(entries: list[Entry]) -> Budget:
    """Sequential over releases that touch all data and within each part; the worst part in parallel."""
    common = [e.budget for e in entries if e.part is None]
    parts: dict[str, list[Budget]] = {}
    for entry in entries:
        if entry.part is not None:
            parts.setdefault(entry.part, []).append(entry.budget)
    totals = [compose([*common, *budgets]) for budgets in parts.values()] or [compose(common)]
    worst = totals[0]
    for total in totals[1:]:
        worst = _weaker(worst, total)
    return worst


def exceeds(total: Budget, limit: Budget) -> bool:
    """Whether a total passes a limit, compared in the limit's currency.

    Raises:
        ValueError: the total has no form in the limit's currency.

    Example:
        >>> exceeds(PureDP(1.5), PureDP(1.0))
        True
    """
    slack = 1 + 1e-12
    if isinstance(limit, PersonalizedDP):
        got = total.epsilon if isinstance(total, PureDP | PersonalizedDP) else None
        if got is None or (isinstance(total, PersonalizedDP) and len(total) != len(limit)):
            raise ValueError(f"{total} cannot be compared with personal limits for {len(limit)} records.")
        return bool(np.any(np.asarray(got) > limit.epsilon * slack))
    if isinstance(limit, ApproxDP):
        return total.to_approx(delta=limit.delta).epsilon > limit.epsilon * slack
    if isinstance(limit, ZCDP):
        return total.to_zcdp().rho > limit.rho * slack
    if isinstance(limit, PureDP) and isinstance(total, PureDP | PersonalizedDP):
        return float(np.max(total.epsilon)) > limit.epsilon * slack
    if isinstance(limit, GaussianDP) and isinstance(total, PureDP | GaussianDP):
        return (total if isinstance(total, GaussianDP) else total.to_gdp()).mu > limit.mu * slack
    raise ValueError(f"{total} has no form in which it could be compared with the limit {limit}.")


def _compose_personal(budgets: list[Budget], n: int) -> PersonalizedDP:
    """Element-wise sum of personalised and uniform pure levels."""
    total = np.zeros(n)
    for budget in budgets:
        if isinstance(budget, PersonalizedDP) and len(budget) != n:
            raise ValueError(f"personalised budgets for {n} and {len(budget)} records cannot be added up.")
        total = total + budget.epsilon  # type: ignore[union-attr]
    return PersonalizedDP(total)


def _compose_approx(budgets: list[Budget], delta: float) -> ApproxDP:
    """Component-wise sum; what has no delta of its own enters at ``delta``."""
    terms = []
    for budget in budgets:
        if isinstance(budget, ApproxDP):
            terms.append(budget)
        elif delta == 0:
            if not isinstance(budget, PureDP | PersonalizedDP):
                raise ValueError(
                    f"{budget} has no epsilon at delta = 0; record the other releases with a delta > 0."
                )
            terms.append(ApproxDP(float(np.max(budget.epsilon)), 0.0))
        else:
            terms.append(budget.to_approx(delta=delta))
    return ApproxDP(math.fsum(t.epsilon for t in terms), math.fsum(t.delta for t in terms))


def _weaker(a: Budget, b: Budget) -> Budget:
    """A guarantee that holds for both parts: the larger one of a kind, else the larger zCDP level."""
    if isinstance(a, PersonalizedDP) and isinstance(b, PersonalizedDP) and len(a) == len(b):
        return PersonalizedDP(np.maximum(a.epsilon, b.epsilon))
    if isinstance(a, PureDP) and isinstance(b, PureDP):
        return a if a.epsilon >= b.epsilon else b
    if isinstance(a, GaussianDP) and isinstance(b, GaussianDP):
        return a if a.mu >= b.mu else b
    if isinstance(a, ApproxDP) or isinstance(b, ApproxDP):
        delta = max(x.delta for x in (a, b) if isinstance(x, ApproxDP))
        first, second = a.to_approx(delta=delta), b.to_approx(delta=delta)
        return first if first.epsilon >= second.epsilon else second
    return max((a.to_zcdp(), b.to_zcdp()), key=lambda z: z.rho)
