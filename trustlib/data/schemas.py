"""What may be known about a table without looking at its rows: columns, public ranges, categories and roles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["feature", "target", "excluded"]


@dataclass(frozen=True)
class Column:
    """One column of a table, described without its rows.

    Args:
        kind: "number" or "category".
        low: smallest value a number is taken to have; smaller ones are clipped.
        high: largest value a number is taken to have.
        categories: all values of a category, in the order of their indicator columns.
        role: "feature", "target", or "excluded" (kept in the frame, never encoded).
        unit: of a number, such as "years".
        note: why the column is excluded, or what its values mean.

    Raises:
        ValueError: a number without a proper range, or a category without at least two different values.
    """

    kind: Literal["number", "category"]
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    role: Role = "feature"
    unit: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind == "number":
            low, high = self.low, self.high
            if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(
                    f"a number needs finite low < high, got low={low}, high={high}. The range must be known without "
                    "the rows: privacy bounds rest on it."
                )
        elif self.kind == "category":
            if len(set(self.categories)) != len(self.categories) or len(self.categories) < 2:
                raise ValueError(
                    f"a category needs at least two different values, got {self.categories}. "
                    "A constant column tells nothing: leave it out."
                )
        else:
            raise ValueError(f"kind must be 'number' or 'category', got {self.kind!r}.")

    @property
    def limits(self) -> tuple[float, float]:
        """(low, high) of a number.

        Raises:
            ValueError: the column is a category.
        """
        if self.low is None or self.high is None:
            raise ValueError(f"a category has no range, only the values {list(self.categories)}.")
        return float(self.low), float(self.high)


def target_of(columns: Mapping[str, Column], *, name: str) -> str:
    """The only column with the role "target"; ``name`` is that of the table, for the message."""
    targets = [key for key, column in columns.items() if column.role == "target"]
    if len(targets) != 1:
        raise ValueError(f"{name} needs exactly one column with role='target', got {targets}.")
    return targets[0]


def number(low: float, high: float, *, unit: str = "", role: Role = "feature", note: str = "") -> Column:
    """A numeric column with a public range.

    Example:
        >>> number(18, 64, unit="years").high
        64
    """
    return Column("number", low=low, high=high, unit=unit, role=role, note=note)


def category(*values: str, role: Role = "feature", note: str = "") -> Column:
    """A categorical column with a public vocabulary.

    Example:
        >>> category("no", "yes").categories
        ('no', 'yes')
    """
    return Column("category", categories=values, role=role, note=note)


INSURANCE: Mapping[str, Column] = {
    "age": number(18, 64, unit="years"),
    "sex": category("female", "male"),
    "bmi": number(15, 55, unit="kg/m2"),
    "children": number(0, 5),
    "smoker": category("no", "yes"),
    "region": category("northeast", "northwest", "southeast", "southwest"),
    "charges": number(0, 65_000, unit="US dollars per year", role="target"),
}

COMPAS: Mapping[str, Column] = {
    "sex": category("Female", "Male"),
    "age": number(18, 100, unit="years"),
    "age_cat": category(
        "Less than 25", "25 - 45", "Greater than 45", role="excluded", note="a function of age"
    ),
    "race": category("African-American", "Asian", "Caucasian", "Hispanic", "Native American", "Other"),
    "juv_fel_count": number(0, 20, unit="juvenile felonies"),
    "juv_misd_count": number(0, 20, unit="juvenile misdemeanours"),
    "juv_other_count": number(0, 20, unit="other juvenile offences"),
    "priors_count": number(0, 40, unit="prior offences"),
    "c_charge_degree": category("F", "M", note="F felony, M misdemeanour"),
    "days_b_screening_arrest": number(
        -30, 30, unit="days", role="excluded", note="a filter on data quality, missing in some rows"
    ),
    "decile_score": number(1, 10, role="excluded", note="output of the COMPAS system under study"),
    "score_text": category("Low", "Medium", "High", role="excluded", note="decile_score in words"),
    "is_recid": number(
        0, 1, role="excluded", note="the outcome without the two-year limit: gives the target away"
    ),
    "two_year_recid": number(0, 1, role="target", note="1: charged with a new offence within two years"),
}

GERMAN_CREDIT: Mapping[str, Column] = {
    "checking_balance": category("< 0 DM", "1 - 200 DM", "> 200 DM", "unknown"),
    "months_loan_duration": number(0, 72, unit="months"),
    "credit_history": category("critical", "delayed", "fully repaid", "fully repaid this bank", "repaid"),
    "purpose": category(
        "business", "car (new)", "car (used)", "domestic appliances", "education",
        "furniture", "others", "radio/tv", "repairs", "retraining",
    ),
    "amount": number(0, 20_000, unit="DM"),
    "savings_balance": category("< 100 DM", "101 - 500 DM", "501 - 1000 DM", "> 1000 DM", "unknown"),
    "employment_length": category("unemployed", "0 - 1 yrs", "1 - 4 yrs", "4 - 7 yrs", "> 7 yrs"),
    "installment_rate": number(1, 4, note="1 to 4: share of income, in four classes"),
    "personal_status": category("divorced male", "female", "married male", "single male"),
    "other_debtors": category("none", "co-applicant", "guarantor"),
    "residence_history": number(1, 4, note="1 to 4: time at the address, in four classes"),
    "property": category("building society savings", "other", "real estate", "unknown/none"),
    "age": number(18, 80, unit="years"),
    "installment_plan": category("none", "bank", "stores"),
    "housing": category("for free", "own", "rent"),
    "existing_credits": number(1, 4),
    "default": number(1, 2, role="target", note="1 good, 2 bad"),
    "dependents": number(1, 2),
    "telephone": category("none", "yes"),
    "foreign_worker": category("no", "yes"),
    "job": category(
        "mangement self-employed", "skilled employee", "unemployed non-resident", "unskilled resident",
        note="'mangement' is the spelling of the file",
    ),
}  # fmt: skip

DIABETES: Mapping[str, Column] = {
    "age": number(18, 80, unit="years"),
    "sex": category("1", "2", note="coded in the original, not explained there"),
    "bmi": number(15, 50, unit="kg/m2"),
    "bp": number(50, 150, unit="mmHg, mean arterial pressure"),
    "s1": number(80, 320, unit="mg/dl, total cholesterol"),
    "s2": number(30, 260, unit="mg/dl, LDL"),
    "s3": number(15, 110, unit="mg/dl, HDL"),
    "s4": number(1, 10, unit="total cholesterol / HDL"),
    "s5": number(3, 6.5, unit="log of triglycerides"),
    "s6": number(50, 140, unit="mg/dl, blood sugar"),
    "target": number(0, 400, role="target", note="disease progression one year later"),
}
