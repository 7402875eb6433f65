"""Samples for the claim on privacy: exact losses in small settings that are listed in full, and planted faults."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from trustlib.dppl.audit import worst_selection_loss
from trustlib.dppl.checks import Adjacency
from trustlib.dppl.comparison_plan import Vectors, Window
from trustlib.dppl.evidence import Evidence
from trustlib.dppl.laws import Fault
from trustlib.dppl.scores import class_scores
from trustlib.dppl.selection import selection_log_probabilities

EPSILONS = (0.1, 1.0, 3.0)
WINDOWS: tuple[Window, ...] = ((0.0, 2.0), (1.0, 1.9), (0.5, 1.5))
RECORDS = 3


def domains() -> tuple[Vectors, Vectors]:
    """Records and candidates of the settings: six directions of the plane, and five others."""
    angle = 2 * np.pi * np.arange(6) / 6
    other = 2 * np.pi * np.array([0.0, 0.11, 0.37, 0.5, 0.81])
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), np.stack([np.cos(other), np.sin(other)], axis=1)


def guarantee() -> Evidence:
    """Samples for dppl-4: largest exact privacy loss over all neighbours, divided by epsilon, one per setting.

    Returns:
        public, exchange, top_k and all_classes, with a planted fault for each.
    """
    return Evidence(
        {
            "public": _losses("add_remove"),
            "exchange": _losses("replace"),
            "top_k": _losses("add_remove", k=2),
            "all_classes": _joint_losses(change_label=False),
        },
        {
            "doubled_exponent": _losses("add_remove", fault="doubled_exponent"),
            "clip_after_sum": _losses("add_remove", fault="clip_after_sum"),
            "monotone_exponent": _losses("replace", fault="monotone_under_replace"),
            "wrong_binomial": _losses("add_remove", k=2, fault="wrong_binomial"),
            "label_change": _joint_losses(change_label=True),
        },
    )


def _losses(adjacency: Adjacency, *, k: int = 1, fault: Fault = "none") -> Vectors:
    """Losses over levels, one per setting; infinite ones are shown as a large number."""
    records, candidates = domains()
    found = []
    for epsilon, (d_min, d_max) in itertools.product(EPSILONS, WINDOWS):
        setting: dict[str, Any] = {"epsilon": epsilon, "d_min": d_min, "d_max": d_max, "n_records": RECORDS}
        worst = worst_selection_loss(records, candidates, **setting, adjacency=adjacency, k=k, fault=fault)
        found.append(min(worst.ratio, 1e6))
    return np.array(found)


def _joint_losses(*, change_label: bool) -> Vectors:
    """The same for the prototypes of two classes together, with the library's scores and laws."""
    records, candidates = domains()
    people = list(itertools.product(range(len(records)), (0, 1)))  # row and class
    tables = [
        rows for size in range(RECORDS + 1) for rows in itertools.combinations_with_replacement(people, size)
    ]
    place = {rows: t for t, rows in enumerate(tables)}
    pairs = np.array(
        [
            (
                place[tuple(sorted((*base, (row, label))))],
                place[tuple(sorted((*base, (row, 1 - label))))] if change_label else place[base],
            )
            for base in tables
            if len(base) < RECORDS
            for row, label in people
        ]
    )
    scores = [np.stack([_joint_scores(rows, records, candidates, w) for rows in tables]) for w in WINDOWS]
    found = []
    for epsilon, of_tables in itertools.product(EPSILONS, scores):
        laws = selection_log_probabilities(of_tables, epsilon=epsilon, adjacency="add_remove")
        joint = laws[:, 0, :, None] + laws[:, 1, None, :]  # (tables, M, M)
        found.append(np.abs(joint[pairs[:, 0]] - joint[pairs[:, 1]]).max() / epsilon)
    return np.array(found)


def _joint_scores(
    people: tuple[tuple[int, int], ...], records: Vectors, candidates: Vectors, window: Window
) -> Vectors:
    """Scores of two classes, shape (2, M); zero for nobody."""
    if not people:
        return np.zeros((2, len(candidates)))
    where, labels = zip(*people, strict=True)
    options: dict[str, Any] = {"classes": [0, 1], "d_min": window[0], "d_max": window[1]}
    return class_scores(records[list(where)], labels, candidates, **options, precision="float64")
