"""Private prototypes for transfer learning with rare classes (Wahdany et al. 2025).

`DPPrototypePublic` represents each class by public samples that lie close to its private ones, chosen with the
exponential mechanism; `DPPrototypeMean` by a private mean. Both spend one zCDP budget for all classes, since a record
is in one class only, and both keep a ledger that names the neighbouring relation of what was spent.
"""

from trustlib.dppl.audit import (
    SelectionLosses,
    audit_selection,
    mean_loss,
    neighbour_log_ratios,
    worst_selection_loss,
)
from trustlib.dppl.budgets import PrivacyBudget, translate_budgets
from trustlib.dppl.checks import Adjacency, ClassListWarning, EmptyClassWarning
from trustlib.dppl.coinpress import (
    PAPER_SPLIT,
    CoinPressSchedule,
    CoinPressStep,
    coinpress_gamma,
    coinpress_mean,
    coinpress_schedule,
)
from trustlib.dppl.embeddings import Precision, pool_features, unit_rows
from trustlib.dppl.laws import Fault
from trustlib.dppl.means import DivergingScheduleWarning, DPPrototypeMean
from trustlib.dppl.planning import MeanEstimator, MeanPlan, plan_mean, selection_error
from trustlib.dppl.prototypes import PrototypeClassifier, Vote, cosine_votes, slot_choices
from trustlib.dppl.public import DPPrototypePublic
from trustlib.dppl.scores import class_scores
from trustlib.dppl.selection import (
    StreamedSelection,
    select_public,
    selection_exponent,
    selection_log_probabilities,
)
from trustlib.dppl.top_k import log_set_counts, select_top_k, top_k_log_probabilities

__all__ = [
    "PAPER_SPLIT",  # shares of the budget of CoinPress's steps
    "Adjacency",  # "add_remove" or "replace"
    "ClassListWarning",  # classes were read off private labels
    "CoinPressSchedule",  # its steps, known beforehand
    "CoinPressStep",  # one of them
    "DPPrototypeMean",  # DPPL-Mean
    "DPPrototypePublic",  # DPPL-Public and Top-K
    "DivergingScheduleWarning",  # CoinPress loses ground
    "EmptyClassWarning",  # a class without private records
    "Fault",  # planted faults of audits
    "MeanEstimator",  # "naive", "coinpress" or "auto"
    "MeanPlan",  # how a class mean is released
    "Precision",  # of matrix products
    "PrivacyBudget",  # rho in all currencies
    "PrototypeClassifier",  # common base
    "SelectionLosses",  # what an exhaustive audit found
    "StreamedSelection",  # selection from blocks of candidates
    "Vote",  # "max", "mean" or "slot"
    "audit_selection",  # sampled audit
    "class_scores",  # utilities of the selection
    "coinpress_gamma",  # radius of a standard normal vector
    "coinpress_mean",  # CoinPress
    "coinpress_schedule",  # its radii and noise
    "cosine_votes",  # votes of prototypes
    "log_set_counts",  # sets by their worst member
    "mean_loss",  # exhaustive audit of the private mean
    "neighbour_log_ratios",  # log-ratios of one data set and all neighbours
    "plan_mean",  # choose a private mean without the data
    "pool_features",  # average pooling
    "select_public",  # one public sample per class
    "select_top_k",  # a set of them
    "selection_error",  # bound on what a selection loses
    "selection_exponent",  # epsilon or epsilon / 2
    "selection_log_probabilities",  # exact law of the selection
    "slot_choices",  # one classifier per slot
    "top_k_log_probabilities",  # exact law of sets
    "translate_budgets",  # table of currencies
    "unit_rows",  # rows of length 1
    "worst_selection_loss",  # exhaustive audit over all neighbours
]
