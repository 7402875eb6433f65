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
from trustlib.dppl.baselines import Baseline, ClassMeans, NearestPublic
from trustlib.dppl.baselines_dp_sgd import DPLinearProbe, NoiseFreeProbe
from trustlib.dppl.baselines_global_adapt import DPGlobalAdapt
from trustlib.dppl.baselines_gradients import GradientProbe, fit_together
from trustlib.dppl.baselines_least_squares import DPLeastSquares
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
from trustlib.dppl.comparison import Comparison, compare
from trustlib.dppl.comparison_inputs import choose_encoders, choose_pools, further_tasks
from trustlib.dppl.comparison_plan import BASELINES, LABELS, METHODS, REFERENCES, Method, Plan, Trial, trials
from trustlib.dppl.comparison_settings import choose_settings, longest_chosen, settings_table
from trustlib.dppl.comparison_sources import Sources, load_pool, load_sources
from trustlib.dppl.comparison_tasks import Task, embed_sources, graded_encoders
from trustlib.dppl.embeddings import Precision, pool_features, unit_rows
from trustlib.dppl.imbalance import imbalanced_sizes, make_imbalanced
from trustlib.dppl.laws import Fault
from trustlib.dppl.means import DivergingScheduleWarning, DPPrototypeMean
from trustlib.dppl.metrics import balanced_accuracy, class_accuracies, group_accuracy, imbalance_slope
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
    "BASELINES",  # private methods without prototypes from a pool
    "LABELS",  # names of the methods on a page
    "METHODS",  # all private methods of the comparison
    "PAPER_SPLIT",  # shares of the budget of CoinPress's steps
    "REFERENCES",  # methods without privacy
    "Adjacency",  # "add_remove" or "replace"
    "Baseline",  # common base of the baselines
    "ClassListWarning",  # classes were read off private labels
    "ClassMeans",  # means without privacy
    "CoinPressSchedule",  # its steps, known beforehand
    "CoinPressStep",  # one of them
    "Comparison",  # accuracies of all methods
    "DPGlobalAdapt",  # DPSGD-Global-Adapt
    "DPLeastSquares",  # DP-LS
    "DPLinearProbe",  # DP-SGD, by opacus or in closed form
    "DPPrototypeMean",  # DPPL-Mean
    "DPPrototypePublic",  # DPPL-Public and Top-K
    "DivergingScheduleWarning",  # CoinPress loses ground
    "EmptyClassWarning",  # a class without private records
    "Fault",  # planted faults of audits
    "GradientProbe",  # what private probes share
    "MeanEstimator",  # "naive", "coinpress" or "auto"
    "MeanPlan",  # how a class mean is released
    "Method",  # of the comparison
    "NearestPublic",  # best public sample without privacy
    "NoiseFreeProbe",  # the steps of DP-SGD without noise, not private
    "Plan",  # of a comparison
    "Precision",  # of matrix products
    "PrivacyBudget",  # rho in all currencies
    "PrototypeClassifier",  # common base
    "SelectionLosses",  # what an exhaustive audit found
    "Sources",  # images in disjoint parts
    "StreamedSelection",  # selection from blocks of candidates
    "Task",  # embeddings in disjoint parts
    "Trial",  # one seed of a comparison
    "Vote",  # "max", "mean" or "slot"
    "audit_selection",  # sampled audit
    "balanced_accuracy",  # mean over classes
    "choose_encoders",  # encoders by name
    "choose_pools",  # public pools by name
    "choose_settings",  # of baselines, on public data
    "class_accuracies",  # by class
    "class_scores",  # utilities of the selection
    "coinpress_gamma",  # radius of a standard normal vector
    "coinpress_mean",  # CoinPress
    "coinpress_schedule",  # its radii and noise
    "compare",  # all methods at equal zCDP
    "cosine_votes",  # votes of prototypes
    "embed_sources",  # images to embeddings
    "fit_together",  # several probes with the same draws
    "further_tasks",  # all encoders on all data sets
    "graded_encoders",  # small encoders of growing quality
    "group_accuracy",  # of rare or frequent classes
    "imbalance_slope",  # accuracy over log size
    "imbalanced_sizes",  # class sizes
    "load_pool",  # images of a public pool
    "load_sources",  # a data set in parts
    "log_set_counts",  # sets by their worst member
    "longest_chosen",  # settings at the edge of the search
    "make_imbalanced",  # rows of an imbalanced set
    "mean_loss",  # exhaustive audit of the private mean
    "neighbour_log_ratios",  # log-ratios of one data set and all neighbours
    "plan_mean",  # choose a private mean without the data
    "pool_features",  # average pooling
    "select_public",  # one public sample per class
    "select_top_k",  # a set of them
    "selection_error",  # bound on what a selection loses
    "selection_exponent",  # epsilon or epsilon / 2
    "selection_log_probabilities",  # exact law of the selection
    "settings_table",  # chosen settings of the baselines
    "slot_choices",  # one classifier per slot
    "top_k_log_probabilities",  # exact law of sets
    "translate_budgets",  # table of currencies
    "trials",  # all seeds of a plan
    "unit_rows",  # rows of length 1
    "worst_selection_loss",  # exhaustive audit over all neighbours
]
