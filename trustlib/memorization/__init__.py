"""Memorization in self-supervised encoders: which points, in which layers, in which units, and does it matter.

SSLMem compares an encoder that saw a point with one that did not; LayerMem does so after every layer; UnitMem and
ClassMem ask how exclusively one point or one class excites a unit. After Wang et al., "Memorization in Self-Supervised
Learning Improves Downstream Generalization" (ICLR 2024) and "Localizing Memorization in SSL Vision Encoders" (NeurIPS
2024); where the published code departs from the definitions, the definitions are kept.
"""

from trustlib.memorization.activations import class_selectivity, classmem, unitmem
from trustlib.memorization.alignment import CollapsedEncoderWarning, alignment_loss
from trustlib.memorization.audit import MembershipInference, membership_epsilon, membership_inference
from trustlib.memorization.classes import ClassMem, ClassMemAccumulator, classmem_from_activations
from trustlib.memorization.comparison import (
    Comparison,
    SubsetComparison,
    bootstrap_difference,
    compare_subsets,
    subset_scores,
)
from trustlib.memorization.dejavu import DejaVu, corner_crop, deja_vu, knn_vote
from trustlib.memorization.distances import pair_distance
from trustlib.memorization.heldout import HeldOutUnitMem, heldout_unitmem
from trustlib.memorization.interventions import freeze_except, pruned, pruning_masks, swap_layers, tune_unit
from trustlib.memorization.layermem import LayerMem, layermem
from trustlib.memorization.pairs import EncoderPair, PairPlan, Pool, train_pairs
from trustlib.memorization.rankings import kendall_matrix, overlap_at_k, overlap_matrix
from trustlib.memorization.regularizer import alignment_term, regularized_loss
from trustlib.memorization.scores import SubsetScores, sslmem_from_alignment, sslmem_from_subsets
from trustlib.memorization.significance import auc, holm_correction, memorized_points, share_above
from trustlib.memorization.splits import LeaveOutSplit, RemovalSet, leave_out_split, removal_sets
from trustlib.memorization.sslmem import SSLMem, sslmem
from trustlib.memorization.studies import (
    fine_tuning_study,
    paired_difference,
    pruning_study,
    removal_study,
    replacement_study,
)
from trustlib.memorization.taps import VitBlock, vit_blocks, vit_deltas
from trustlib.memorization.tuning import TunedEncoder, tune_layers
from trustlib.memorization.units import UnitMem, UnitMemAccumulator, unitmem_from_activations

__all__ = [
    "ClassMem",  # ClassMem of the units of a layer
    "ClassMemAccumulator",  # ClassMem in one pass, mergeable
    "CollapsedEncoderWarning",  # all views of every point have one representation
    "Comparison",  # two subsets compared
    "DejaVu",  # result of the Déjà Vu baseline
    "EncoderPair",  # f, g and who saw what
    "HeldOutUnitMem",  # UnitMem on members and on held-out points
    "LayerMem",  # scores after every layer
    "LeaveOutSplit",  # shared, candidate and independent points
    "MembershipInference",  # a score as an attack
    "PairPlan",  # how f and g are trained
    "Pool",  # images to train on, and external ones
    "RemovalSet",  # one arm of a removal experiment
    "SSLMem",  # scores, alignments and errors
    "SubsetComparison",  # all comparisons between subsets
    "SubsetScores",  # scores from encoders trained on random subsets
    "TunedEncoder",  # an encoder with some layers tuned, and its head
    "UnitMem",  # UnitMem of the units of a layer
    "UnitMemAccumulator",  # UnitMem in one pass, mergeable
    "VitBlock",  # the four layers of a transformer block
    "alignment_loss",  # expected distance of two views of a point
    "alignment_term",  # the same as a differentiable training term
    "auc",  # probability that one side scores higher
    "bootstrap_difference",  # interval over encoder pairs and points
    "class_selectivity",  # ClassMem's quotient on test data
    "classmem",  # how exclusively a class excites a unit
    "classmem_from_activations",  # the same from activations
    "compare_subsets",  # tests, AUC and excess between subsets
    "corner_crop",  # the background of an image
    "deja_vu",  # label inference from the background
    "fine_tuning_study",  # which layers are worth tuning
    "freeze_except",  # train some layers only
    "heldout_unitmem",  # UnitMem tested for membership
    "holm_correction",  # corrected p-values
    "kendall_matrix",  # agreement of rankings
    "knn_vote",  # majority label of the nearest public points
    "layermem",  # where in the encoder points are memorized
    "leave_out_split",  # which points f and g are trained on
    "membership_epsilon",  # lower bound on epsilon from scores
    "membership_inference",  # AUC and true positive rate of a score
    "memorized_points",  # points at a bounded false discovery rate
    "overlap_at_k",  # agreement of the k highest points
    "overlap_matrix",  # the same between many rankings
    "pair_distance",  # distance of two representations
    "paired_difference",  # one arm of a study against another
    "pruned",  # silence units for a while
    "pruning_masks",  # which units to silence
    "pruning_study",  # silence units by score and measure
    "regularized_loss",  # training that keeps views apart
    "removal_sets",  # which points to remove, and what to compare with
    "removal_study",  # train without them and measure
    "replacement_study",  # replace layers and measure
    "share_above",  # share of points above a null quantile
    "sslmem",  # memorization of points
    "sslmem_from_alignment",  # the score and its normalisations
    "sslmem_from_subsets",  # the score of all points from random subsets
    "subset_scores",  # cut scores into named subsets
    "swap_layers",  # put a donor's layers into a model
    "train_pairs",  # train f and g, or load them
    "tune_layers",  # train a head and some layers
    "tune_unit",  # train one unit
    "unitmem",  # how exclusively a point excites a unit
    "unitmem_from_activations",  # the same from activations
    "vit_blocks",  # branches and sums of a vision transformer
    "vit_deltas",  # what every branch adds
]
