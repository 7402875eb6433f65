"""A ledger of releases: what was spent on whom, under which neighbouring relation, and what it adds up to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from trustlib.privacy.budgets import (
    ZCDP,
    ApproxDP,
    Budget,
    PersonalizedDP,
    budget_from_dict,
    budget_to_dict,
)
from trustlib.privacy.composition import compose, compose_approx, compose_zcdp, in_parallel
from trustlib.privacy.limits import exceeds

if TYPE_CHECKING:
    import pandas as pd

Relation = Literal["substitution", "add_remove", "zero_out"]
Parts = Literal["fixed", "by_value"]


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

    Releases on all data compose sequentially (`compose`), also when later ones are chosen after seeing earlier ones.
    Releases on disjoint parts compose in parallel: the worst part counts, since a record lies in one part only. Which
    part a record lies in must not change between neighbours, and ``parts`` says why it does not.

    Args:
        relation: which data sets are neighbours; a budget proved for another relation must not be recorded here.
            "substitution": the values of one record exchanged, "add_remove": one record more or fewer, "zero_out": one
            record replaced by a null record.
        unit: who is protected, in words ("one patient", "one image with all its views").
        parts: None forbids parallel composition. "fixed": membership of a part is public and independent of the
            records' values, as row numbers are. "by_value": it depends on the record's own values, as a class label
            does; sound for "add_remove" only, because an exchanged record can leave one part and enter another.
        limit: budget that the total may not exceed; None for no limit. Against a pure, personalised, zCDP or Gaussian
            limit even the sizes of later budgets may depend on earlier outputs; against an (epsilon, delta) limit,
            where the best of several routes counts, they must be planned beforehand.

    Raises:
        ValueError: an unknown relation or kind of parts, parts "by_value" without "add_remove", or an empty unit.
        TypeError: limit is not a budget.

    Example:
        >>> from trustlib.privacy import PureDP
        >>> ledger = PrivacyLedger("substitution", unit="one person", limit=PureDP(2.0))
        >>> ledger.spend("mean", PureDP(0.5), relation="substitution")
        >>> ledger.spend("model", PureDP(1.0), relation="substitution")
        >>> ledger.total()
        PureDP(epsilon=1.5)
        >>> ledger.spend("one more", PureDP(1.0), relation="substitution")
        Traceback (most recent call last):
        ...
        trustlib.privacy.ledger.BudgetExceeded: 'one more' would bring the total beyond the limit ...

    Source: Dwork and Roth 2014, ch. 3 (sequential); McSherry 2009 (parallel); Rogers, Roth, Ullman, Vadhan 2016 and
    Feldman and Zrnic 2021 (limits).
    """

    def __init__(
        self, relation: Relation, *, unit: str, parts: Parts | None = None, limit: Budget | None = None
    ) -> None:
        _one_of("relation", relation, get_args(Relation))
        if not (isinstance(unit, str) and unit.strip()):
            raise ValueError(f"unit must say who is protected, for instance 'one person', got {unit!r}.")
        if parts is not None:
            _one_of("parts", parts, get_args(Parts))
        if parts == "by_value" and relation != "add_remove":
            raise ValueError(
                f"parts = 'by_value' is not sound for the relation {relation!r}: a changed record can leave one part "
                "and enter another, so that two parts change. Use parts='fixed' if membership is public, or count "
                "add_remove."
            )
        if limit is not None and not isinstance(limit, Budget):
            raise TypeError(f"limit must be a budget or None, got {limit!r}.")
        self.relation = relation
        self.unit = unit
        self.parts = parts
        self.limit = limit
        self._entries: list[Entry] = []

    def __repr__(self) -> str:
        return f"PrivacyLedger({self.relation!r}, unit={self.unit!r}, releases={len(self)})"

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
            part: name of the disjoint part of the data on which alone the release depends; None for all of it.

        Raises:
            ValueError: a guarantee for another relation, a part in a ledger without parts, personalised levels for
                another number of records, or a budget with no form in the limit's currency.
            TypeError: budget is not a budget of this package, or label or part is not text.
            BudgetExceeded: the total would pass the limit; the ledger stays as it was.

        Example:
            >>> from trustlib.privacy import PureDP
            >>> ledger = PrivacyLedger("add_remove", unit="one image", parts="by_value")
            >>> for name in ("cats", "dogs"):
            ...     ledger.spend("prototype", PureDP(1.0), relation="add_remove", part=name)
            >>> ledger.total()
            PureDP(epsilon=1.0)

        Source: as the class.
        """
        self._record([self._checked(label, budget, relation, part)])

    def spend_each(self, label: str, budget: Budget, *, relation: Relation, parts: Sequence[str]) -> None:
        """Record the same release on each of several disjoint parts: all of them, or none if one may not be made.

        Args:
            label: what is released.
            budget: its guarantee on every part.
            relation: the neighbouring relation for which the guarantee was proved.
            parts: names of different parts, at least one.

        Raises:
            ValueError: as `spend`, or no part, or a part named twice.
            TypeError: as `spend`.
            BudgetExceeded: the total of some part would pass the limit; the ledger stays as it was.

        Example:
            >>> from trustlib.privacy import PureDP
            >>> ledger = PrivacyLedger("add_remove", unit="one image", parts="by_value")
            >>> ledger.spend_each("prototype", PureDP(1.0), relation="add_remove", parts=["cats", "dogs"])
            >>> len(ledger), ledger.total()
            (2, PureDP(epsilon=1.0))

        Source: as the class.
        """
        names = list(parts)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"parts must name different parts of the data, at least one, got {names!r}.")
        self._record([self._checked(label, budget, relation, name) for name in names])

    def _record(self, entries: list[Entry]) -> None:
        """Append entries that were checked, unless they pass the limit."""
        trial = [*self._entries, *entries]
        label, budget = entries[0].label, entries[0].budget
        if self.limit is not None:
            for name, budgets in _by_part(trial).items():
                if exceeds(budgets, self.limit):
                    where = "" if name is None else f" of part {name!r}"
                    raise BudgetExceeded(
                        f"{label!r} would bring the total{where} beyond the limit {self.limit} with {budget} on top of "
                        f"{len(self)} earlier releases. Nothing was recorded: do not release it."
                    )
        self._entries = trial

    def total(self) -> Budget | None:
        """The guarantee of all releases in the currency they share, or None if there was none.

        Raises:
            ValueError: a mixture that has a common form at a total delta only; ask `to_approx`.
        """
        if not self._entries:
            return None
        return in_parallel([compose(budgets) for budgets in _by_part(self._entries).values()])

    def to_zcdp(self) -> ZCDP | None:
        """The guarantee of all releases as zCDP, or None if there was none.

        Converting each release before adding is never worse than converting the total, and often better: an
        exponential mechanism keeps its epsilon^2 / 8.

        Raises:
            ValueError: a release with delta > 0.
        """
        if not self._entries:
            return None
        totals = [compose_zcdp(budgets) for budgets in _by_part(self._entries).values()]
        return max(totals, key=lambda total: total.rho)

    def to_approx(self, *, delta: float) -> ApproxDP | None:
        """The guarantee of all releases as (epsilon, delta) by the best route, or None if there was none.

        Raises:
            ValueError: a delta that does not cover what releases with a delta of their own already use.
        """
        if not self._entries:
            return None
        totals = [compose_approx(budgets, delta=delta) for budgets in _by_part(self._entries).values()]
        return max(totals, key=lambda total: total.epsilon)

    def to_frame(self) -> pd.DataFrame:
        """One row per release; the relation and the unit are in ``.attrs``.

        Columns: label, part ("all" for none), kind, epsilon (of personalised levels the largest), epsilon_min (their
        smallest), delta, rho, mu; what a kind does not have is NaN.
        """
        import pandas as pd

        numbers = ["epsilon", "epsilon_min", "delta", "rho", "mu"]
        frame = pd.DataFrame(
            [_row(entry) for entry in self._entries], columns=["label", "part", "kind", *numbers]
        )
        frame = frame.astype(dict.fromkeys(numbers, "float64"))
        frame.attrs = {"relation": self.relation, "unit": self.unit}
        return frame

    def to_json(self) -> str:
        """The whole ledger as JSON text; `from_json` reads it back."""
        entries = [
            {"label": e.label, "part": e.part, "budget": budget_to_dict(e.budget)} for e in self._entries
        ]
        limit = None if self.limit is None else budget_to_dict(self.limit)
        head = {"relation": self.relation, "unit": self.unit, "parts": self.parts, "limit": limit}
        return json.dumps({**head, "entries": entries})

    @classmethod
    def from_json(cls, text: str) -> PrivacyLedger:
        """The ledger written by `to_json`, spent again release by release.

        Raises:
            ValueError: text that is not a ledger, or one that breaks its own rules.
            BudgetExceeded: releases beyond the limit that the text states.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            limit = None if content["limit"] is None else budget_from_dict(content["limit"])
            ledger = cls(content["relation"], unit=content["unit"], parts=content["parts"], limit=limit)
            entries = [(e["label"], budget_from_dict(e["budget"]), e["part"]) for e in content["entries"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"text is not a ledger as to_json writes it: {error!r}.") from error
        for label, budget, part in entries:
            ledger.spend(label, budget, relation=ledger.relation, part=part)
        return ledger

    def _checked(self, label: str, budget: Budget, relation: Relation, part: str | None) -> Entry:
        """The entry, or an error that says why it cannot be recorded."""
        if not isinstance(budget, Budget):
            raise TypeError(
                f"budget must be PureDP, ZCDP, GaussianDP, ApproxDP or PersonalizedDP, got {budget!r}."
            )
        if not isinstance(label, str) or not isinstance(part, str | None):
            raise TypeError(f"label and part must be text, got {label!r} and {part!r}.")
        if relation != self.relation:
            raise ValueError(
                f"{label!r} was proved for the relation {relation!r}, this ledger counts {self.relation!r}. "
                "A guarantee does not carry over by itself. Keep two ledgers, or convert the budget first: a "
                "substitution is a group of two add_remove steps, group(budget, size=2)."
            )
        if part is not None and self.parts is None:
            raise ValueError(
                f"{label!r} names the part {part!r}, but this ledger composes everything sequentially. State with "
                "PrivacyLedger(..., parts='fixed' or 'by_value') why neighbours agree on the parts."
            )
        others = {len(e.budget) for e in self._entries if isinstance(e.budget, PersonalizedDP)}
        if isinstance(budget, PersonalizedDP) and others - {len(budget)}:
            raise ValueError(
                f"{label!r} has levels for {len(budget)} records, earlier releases for {others.pop()}. "
                "Every vector must list the same records in the same order."
            )
        return Entry(label, budget, part)


def _by_part(entries: list[Entry]) -> dict[str | None, list[Budget]]:
    """Releases that touch each part, those on all data included; without parts the single key None."""
    on_all = [e.budget for e in entries if e.part is None]
    found: dict[str | None, list[Budget]] = {}
    for entry in entries:
        if entry.part is not None:
            found.setdefault(entry.part, list(on_all)).append(entry.budget)
    return found or {None: on_all}


def _row(entry: Entry) -> dict[str, Any]:
    """A release as one row of the table."""
    values = budget_to_dict(entry.budget)
    if isinstance(entry.budget, PersonalizedDP):
        values["epsilon"], values["epsilon_min"] = entry.budget.weakest, entry.budget.strongest
    return {"label": entry.label, "part": entry.part or "all", **values}


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """``value`` must be one of a closed set."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.")
