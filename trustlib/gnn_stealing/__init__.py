"""Model stealing against inductive graph networks (Podhajski et al. 2024), and what a service can do about it.

A graph is cut into what the target was trained on, what the attacker can send, and what both are tested on
(`inductive_split`). The target sits behind a `GraphQueryAPI` that counts every answer. The attack code is for auditing
services of one's own.
"""

from trustlib.gnn_stealing.api import (
    RESPONSES,
    GraphQueryAPI,
    QueryBudgetExceeded,
    QueryRecord,
    Response,
    honest_accuracy,
)
from trustlib.gnn_stealing.defences import Defence
from trustlib.gnn_stealing.inference import neighbourhood_outputs
from trustlib.gnn_stealing.layers import FeatureLinear, WeightedGATConv, WeightedGINConv, WeightedSAGEConv
from trustlib.gnn_stealing.messages import MessageGraph
from trustlib.gnn_stealing.outputs import accuracy_of, node_outputs, target_labels
from trustlib.gnn_stealing.projections import Projection, project
from trustlib.gnn_stealing.sampling import Block, NeighbourSampler
from trustlib.gnn_stealing.splits import InductiveSplit, cut_query, induced_subgraph, inductive_split
from trustlib.gnn_stealing.surrogates import ARCHITECTURES, Architecture, Surrogate
from trustlib.gnn_stealing.targets import TargetGNN
from trustlib.gnn_stealing.training import train_target

__all__ = [
    "ARCHITECTURES",  # "gin", "gat", "sage"
    "RESPONSES",  # what a service can give away
    "Architecture",  # type of the architecture names
    "Block",  # a drawn neighbourhood
    "Defence",  # noise, few classes, few digits
    "FeatureLinear",  # a linear map of dense or sparse features
    "GraphQueryAPI",  # the target as a service that counts
    "InductiveSplit",  # target, query and test subgraphs
    "MessageGraph",  # edges prepared for many rounds of messages
    "NeighbourSampler",  # mini-batches without compiled samplers
    "Projection",  # how embeddings are put on a plane
    "QueryBudgetExceeded",  # a refused query
    "QueryRecord",  # one line of the service's log
    "Response",  # type of the response names
    "Surrogate",  # the attacker's network
    "TargetGNN",  # the network under attack
    "WeightedGATConv",  # attention, with edge weights
    "WeightedGINConv",  # isomorphism network, with edge weights
    "WeightedSAGEConv",  # mean aggregation, with edge weights
    "accuracy_of",  # share of right classes
    "cut_query",  # a query graph under a budget
    "honest_accuracy",  # what customers get from a defended service
    "induced_subgraph",  # some nodes and the edges between them
    "inductive_split",  # who sees which nodes
    "neighbourhood_outputs",  # exact outputs of any model, some nodes at a time
    "node_outputs",  # logits and embeddings of any model
    "project",  # embeddings on a plane
    "target_labels",  # what fidelity is measured against
    "train_target",  # train the network under attack, or any other
]
