"""The graphs that the registry knows from the start."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from trustlib.data import block_graphs
from trustlib.data.graph_downloads import by_geometric, by_ogb, by_planetoid
from trustlib.data.graph_pictures import block_graph_pictures
from trustlib.data.registry import register
from trustlib.data.specs import DatasetSpec, Embedded, FileSpec


class _Graph(NamedTuple):
    """What differs between the graphs; ``links`` counts both directions."""

    name: str
    title: str
    nodes: str
    links: str
    words: str
    classes: int
    origin: str
    citation: str
    problems: tuple[str, ...]
    sha256: str
    size_bytes: int


_PLACEMENT = (
    "No address offers this very archive. To make it, convert the file of GitHub repository EdisonLeeeee/GraphData to "
    "a NumPy archive with `edge_index` of shape (2, E), both directions of every edge, node features as CSR (`x_data`, "
    "`x_indices`, `x_indptr`, `x_shape`) and classes `y`. Your own file has another SHA-256; the error message says "
    "how to accept it."
)
_SHCHUR = (
    "O. Shchur, M. Mumme, A. Bojchevski, S. Guennemann, Pitfalls of Graph Neural Network Evaluation, workshop at "
    "NeurIPS 2018."
)
_BROUGHT = {
    "cora": by_planetoid("Cora"),
    "citeseer": by_geometric("CitationFull", "CiteSeer"),
    "dblp": by_geometric("CitationFull", "DBLP"),
    "amazon_photo": by_geometric("Amazon", "Photo"),
    "coauthor_physics": by_geometric("Coauthor", "Physics"),
}  # torch_geometric has no copy of acm
_OGB = (
    "W. Hu, M. Fey, M. Zitnik, Y. Dong, H. Ren, B. Liu, M. Catasta, J. Leskovec, Open Graph Benchmark: Datasets for "
    "Machine Learning on Graphs, NeurIPS 2020."
)
_COMMON = "Edges were made undirected; node texts and identities are not part of the file."

_GRAPHS = (
    _Graph(
        "cora",
        "Cora citations",
        "2 708",
        "10 556",
        "1 433",
        7,
        "A. McCallum and others, 2000; the widely used version of Sen and others, 2008",
        "P. Sen, G. Namata, M. Bilgic, L. Getoor, B. Gallagher, T. Eliassi-Rad, Collective Classification in Network "
        "Data, AI Magazine 29, 2008.",
        (
            "Small and worn out by two decades of tuning: differences of a percent mean nothing.",
            "Ranks of methods change with the split, so use several.",
        ),
        "33f4a2db0ad832a43a3db17659cc452eae813168a3ca1e538e79c3fdf7aaa8f8",
        108_552,
    ),
    _Graph(
        "citeseer",
        "CiteSeer citations",
        "4 230",
        "10 674",
        "602",
        6,
        "C. Giles and others, 1998; the larger version of Bojchevski and Guennemann, 2018",
        "A. Bojchevski, S. Guennemann, Deep Gaussian Embedding of Graphs, ICLR 2018.",
        (
            "Not the version with 3 327 nodes that many papers report on: numbers cannot be compared with theirs.",
        ),
        "cdfcd41a1b3947d49172be7c0a54a9790c4627368cade66439fc782ee5abb8e8",
        115_839,
    ),
    _Graph(
        "dblp",
        "DBLP citations",
        "17 716",
        "105 734",
        "1 639",
        4,
        "DBLP bibliography; version of Bojchevski and Guennemann, 2018",
        "A. Bojchevski, S. Guennemann, Deep Gaussian Embedding of Graphs, ICLR 2018.",
        ("Classes are research areas derived from venues, not from what the papers say.",),
        "d0d3a50b58e9855d1971a9162d1f88d69ff1c7c1f2ecbb0eb611f1b3738013f3",
        735_569,
    ),
    _Graph(
        "acm",
        "ACM papers",
        "3 025",
        "26 256",
        "1 870",
        3,
        "ACM digital library; version of Wang and others, 2019",
        "X. Wang, H. Ji, C. Shi, B. Wang, Y. Ye, P. Cui, P. Yu, Heterogeneous Graph Attention Network, WWW 2019.",
        ("Nodes are linked when papers share an author: an edge is not a citation.",),
        "e9588c8af0774253dfcdba70a9aecee15d53210ce3cc5a38d2370566325e4a17",
        379_452,
    ),
    _Graph(
        "amazon_photo",
        "Amazon Photo co-purchases",
        "7 650",
        "238 162",
        "745",
        8,
        "J. McAuley and others, 2015; version of Shchur and others, 2018",
        _SHCHUR,
        ("Edges come from what one shop recommended, features from reviews that people wrote there.",),
        "6ed50305b921b67edcff441b06613adb59b0ef40fd9219c5542773ce35d5cc86",
        1_947_385,
    ),
    _Graph(
        "coauthor_physics",
        "Coauthors in physics",
        "34 493",
        "495 924",
        "8 415",
        5,
        "Microsoft Academic Graph, KDD Cup 2016; version of Shchur and others, 2018",
        _SHCHUR,
        ("Nodes are real researchers, without names; who published with whom can identify them.",),
        "9d148f724a49b78ed43a83464669481d0fa781b3cec65554dc630cd3a75d47b2",
        3_543_281,
    ),
)


def _forms(graph: _Graph) -> tuple[FileSpec, ...]:
    """The pinned archive, and where torch_geometric has the graph, what it downloads; that has a hash of its own."""
    archive = FileSpec(f"graphs/{graph.name}.npz", graph.sha256, size_bytes=graph.size_bytes)
    if graph.name not in _BROUGHT:
        return (archive,)
    return archive, FileSpec(f"graphs/{graph.name}.geometric.npz", None, bring=_BROUGHT[graph.name])


def _origin(graph: _Graph) -> str:
    """Who made it and where either form comes from."""
    copy = f"{graph.origin}; GitHub repository EdisonLeeeee/GraphData, rewritten without pickled objects."
    return (
        f"{copy} Where that file is absent: downloaded by torch_geometric."
        if graph.name in _BROUGHT
        else copy
    )


for _graph in _GRAPHS:
    register(
        DatasetSpec(
            name=_graph.name,
            kind="graph",
            title=_graph.title,
            size=f"{_graph.nodes} nodes, {_graph.links} directed edges (both directions), {_graph.words} features, "
            f"{_graph.classes} classes",
            origin=_origin(_graph),
            licence="MIT for the collection; terms of the sources are not stated.",
            citation=_graph.citation,
            problems=(*_graph.problems, _COMMON),
            files=_forms(_graph),
            placement=_PLACEMENT,
        )
    )

register(
    DatasetSpec(
        name="citations_like",
        kind="graph",
        title="Citation-like graph (generated)",
        size="300 to 100 000 nodes (1 200 unless asked otherwise), mean degree about 5.5, 400 words, 6 classes",
        origin="Drawn by this library (`trustlib.data.load_graph`) with NumPy: a degree-corrected block model whose "
        "nodes carry words that depend on their class.",
        licence="MIT, like the library.",
        citation="This library; the model is that of B. Karrer, M. Newman, Stochastic blockmodels and community "
        "structure in networks, Physical Review E 83, 2011.",
        problems=(
            "Edges know nothing of the texts beyond the class, and there are few triangles: results show that a "
            "method works as described, not how well it does on real graphs.",
            "The SHA-256 is that of a reference graph: it identifies the generator. Which graph a run used follows "
            "from its parameters n and seed.",
        ),
        embedded=Embedded(
            home=lambda: Path(block_graphs.__file__),
            fingerprint=block_graphs.reference_fingerprint,
            how="generated",
            details=block_graph_pictures,
        ),
    )
)

register(
    DatasetSpec(
        name="pubmed",
        kind="graph",
        title="PubMed citations",
        size="19 717 nodes, 88 648 directed edges (both directions), 500 features, 3 classes",
        origin="Papers on diabetes; version of Bojchevski and Guennemann, 2018; downloaded by torch_geometric.",
        licence="Terms of the sources are not stated.",
        citation="P. Sen, G. Namata, M. Bilgic, L. Getoor, B. Gallagher, T. Eliassi-Rad, Collective Classification in "
        "Network Data, AI Magazine 29, 2008.",
        problems=(
            "Three classes of one disease, told apart by words: easy for a model without edges.",
            _COMMON,
        ),
        files=(FileSpec("graphs/pubmed.npz", None, bring=by_geometric("CitationFull", "PubMed")),),
    )
)

register(
    DatasetSpec(
        name="amazon_computers",
        kind="graph",
        title="Amazon Computers co-purchases",
        size="13 752 nodes, 491 722 directed edges (both directions), 767 features, 10 classes",
        origin="J. McAuley and others, 2015; version of Shchur and others, 2018, downloaded by torch_geometric.",
        licence="MIT for the collection; terms of the sources are not stated.",
        citation=_SHCHUR,
        problems=(
            "Edges come from what one shop recommended, features from reviews that people wrote there.",
            "One class has 38 % of the nodes: read agreement beside what chance gives.",
            _COMMON,
        ),
        files=(FileSpec("graphs/amazon_computers.npz", None, bring=by_geometric("Amazon", "Computers")),),
    )
)

register(
    DatasetSpec(
        name="ogbn_arxiv",
        kind="graph",
        title="ogbn-arxiv",
        size="169 343 nodes, 1 166 243 citations (made undirected here), 128 features, 40 classes",
        origin="Open Graph Benchmark, from the Microsoft Academic Graph; downloaded by ogb.",
        licence="ODC-BY.",
        citation=_OGB,
        problems=("The benchmark splits by year; splits of nodes at random, as here, are easier.", _COMMON),
        files=(FileSpec("graphs/ogbn_arxiv.npz", None, bring=by_ogb("ogbn-arxiv")),),
    )
)

register(
    DatasetSpec(
        name="ogbn_products",
        kind="graph",
        title="ogbn-products",
        size="2 449 029 nodes, 61 859 140 edges, 100 features, 47 classes (download of 1.4 GB)",
        origin="Open Graph Benchmark, from Amazon's co-purchases; downloaded by ogb.",
        licence="Amazon's licence for the data; see the benchmark's page.",
        citation=_OGB,
        problems=(
            "Needs about 10 GB of memory to load.",
            "The benchmark splits by sales rank; splits of nodes at random, as here, are easier.",
            _COMMON,
        ),
        files=(FileSpec("graphs/ogbn_products.npz", None, bring=by_ogb("ogbn-products")),),
    )
)
