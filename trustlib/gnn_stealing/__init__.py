"""Model stealing against inductive graph networks (Podhajski et al. 2024), and what a service can do about it.

A graph is cut into what the target was trained on, what the attacker can send, and what both are tested on
(`inductive_split`). The target sits behind a `GraphQueryAPI` that counts every answer. The attack code is for auditing
services of one's own.
"""

from trustlib.gnn_stealing import evidence, figures
from trustlib.gnn_stealing.api import (
    RESPONSES,
    GraphQueryAPI,
    QueryBudgetExceeded,
    QueryRecord,
    Response,
    honest_accuracy,
)
from trustlib.gnn_stealing.augmentation import (
    Augmentation,
    EdgeDrop,
    LoopEmphasis,
    SpectralReweighting,
    drop_edges,
    feature_column_mask,
)
from trustlib.gnn_stealing.budgets import query_budget_curve
from trustlib.gnn_stealing.comparison import AttackComparison, compare_attacks
from trustlib.gnn_stealing.defences import Defence
from trustlib.gnn_stealing.evaluation import StealingReport, evaluate_stealing
from trustlib.gnn_stealing.extraction import StolenModel, extract, without_queries
from trustlib.gnn_stealing.graph_learning import LearnedGraph, learn_graph, weighted_cosine
from trustlib.gnn_stealing.heads import Head, fit_head
from trustlib.gnn_stealing.inference import neighbourhood_outputs
from trustlib.gnn_stealing.layers import FeatureLinear, WeightedGATConv, WeightedGINConv, WeightedSAGEConv
from trustlib.gnn_stealing.losses import info_nce, rmse_loss, soft_cross_entropy
from trustlib.gnn_stealing.messages import MessageGraph
from trustlib.gnn_stealing.outputs import accuracy_of, node_outputs, target_labels
from trustlib.gnn_stealing.projections import Projection, project
from trustlib.gnn_stealing.reconstruction import edge_quality, knn_graph_from_features
from trustlib.gnn_stealing.resampling import connected_components
from trustlib.gnn_stealing.sampling import Block, NeighbourSampler
from trustlib.gnn_stealing.selection import STRATEGIES, select_queries
from trustlib.gnn_stealing.span import SpectralFlip, SpectralFlipping, spectral_flip, spectral_norm
from trustlib.gnn_stealing.spectra import SpectralChange, spectral_change
from trustlib.gnn_stealing.spectral import WeightedEdges, spco_edge_weight
from trustlib.gnn_stealing.splits import InductiveSplit, cut_query, induced_subgraph, inductive_split
from trustlib.gnn_stealing.stealers import ContrastiveStealer, DistillationStealer, RmseStealer
from trustlib.gnn_stealing.stealing import Stealer
from trustlib.gnn_stealing.surrogates import ARCHITECTURES, Architecture, Surrogate
from trustlib.gnn_stealing.targets import TargetGNN
from trustlib.gnn_stealing.training import train_target

__all__ = [
    "ARCHITECTURES",  # "gin", "gat", "sage"
    "RESPONSES",  # what a service can give away
    "STRATEGIES",  # how queries are chosen
    "Architecture",  # type of the architecture names
    "AttackComparison",  # two attacks on the same nodes
    "Augmentation",  # type of a view of the query graph
    "Block",  # a drawn neighbourhood
    "ContrastiveStealer",  # the attack of the paper
    "Defence",  # noise, few classes, few digits
    "DistillationStealer",  # soft labels in, nothing else
    "EdgeDrop",  # random edge dropping
    "FeatureLinear",  # a linear map of dense or sparse features
    "GraphQueryAPI",  # the target as a service that counts
    "Head",  # a classifier on stolen vectors
    "InductiveSplit",  # target, query and test subgraphs
    "LearnedGraph",  # similarities of an attacker who learned the edges
    "LoopEmphasis",  # loops up, edges down
    "MessageGraph",  # edges prepared for many rounds of messages
    "NeighbourSampler",  # mini-batches without compiled samplers
    "Projection",  # how embeddings are put on a plane
    "QueryBudgetExceeded",  # a refused query
    "QueryRecord",  # one line of the service's log
    "Response",  # type of the response names
    "RmseStealer",  # the older attack
    "SpectralChange",  # what a view does to the spectrum
    "SpectralFlip",  # probabilities of flipping edges
    "SpectralFlipping",  # edge flips as a view
    "SpectralReweighting",  # the view of the paper
    "Stealer",  # what the attacks have in common
    "StealingReport",  # accuracy and fidelity of a copy
    "StolenModel",  # what an attacker has in the end
    "Surrogate",  # the attacker's network
    "TargetGNN",  # the network under attack
    "WeightedEdges",  # edges with weights
    "WeightedGATConv",  # attention, with edge weights
    "WeightedGINConv",  # isomorphism network, with edge weights
    "WeightedSAGEConv",  # mean aggregation, with edge weights
    "accuracy_of",  # share of right classes
    "compare_attacks",  # paired test of two attacks
    "connected_components",  # parts of a graph
    "cut_query",  # a query graph under a budget
    "drop_edges",  # leave out edges
    "edge_quality",  # precision and recall of rebuilt edges
    "evaluate_stealing",  # measure a copy
    "evidence",  # samples for the chapter's claims
    "extract",  # one attack from query to classifier
    "feature_column_mask",  # leave out features
    "figures",  # the chapter's figures
    "fit_head",  # from stolen vectors to classes
    "honest_accuracy",  # what customers get from a defended service
    "induced_subgraph",  # some nodes and the edges between them
    "inductive_split",  # who sees which nodes
    "info_nce",  # the contrastive loss
    "knn_graph_from_features",  # edges for an attacker who knows none
    "learn_graph",  # the paper's edges for an attacker who knows none
    "neighbourhood_outputs",  # exact outputs of any model, some nodes at a time
    "node_outputs",  # logits and embeddings of any model
    "project",  # embeddings on a plane
    "query_budget_curve",  # what each query buys
    "rmse_loss",  # the regression loss
    "select_queries",  # which nodes to ask about
    "soft_cross_entropy",  # the distillation loss
    "spco_edge_weight",  # spectral weights in O(E)
    "spectral_change",  # eigenvalues before and after
    "spectral_flip",  # edge flips that move the spectrum
    "spectral_norm",  # size of the spectrum, from the edges
    "target_labels",  # what fidelity is measured against
    "train_target",  # train the network under attack, or any other
    "weighted_cosine",  # the similarity that is learned
    "without_queries",  # the control that asks nothing
]
