"""Graphs that other libraries download, without a network: stand-ins for torch_geometric's and ogb's classes."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

from trustlib import data
from trustlib.data import DataNotFoundError, FileSpec, import_geometric, load_graph

pytestmark = pytest.mark.usefixtures("fresh")
PATH = np.array([[0, 1], [1, 2]])


def published(folder, values):
    """A file in the layout of the published citation graphs."""
    adjacency = scipy.sparse.csr_matrix(([1.0, 1.0], PATH), shape=(3, 3))
    parts = {
        f"{stem}_{end}": getattr(matrix, end)
        for stem, matrix in (("adj", adjacency), ("attr", scipy.sparse.csr_matrix(np.diag(values))))
        for end in ("data", "indices", "indptr", "shape")
    }
    np.savez(folder / "raw.npz", labels=np.array([0, 1, 1]), **parts)
    return folder / "raw.npz"


@pytest.fixture
def fake(monkeypatch):
    """Replaces a class of torch_geometric.datasets by one that writes a small file, and counts its calls."""
    import_geometric()
    from torch_geometric import datasets

    calls = []

    def install(kind, *, fails=None):
        class Fake:
            def __init__(self, root, name):
                calls.append((kind, name))
                sys.stderr.write("Downloading ...")
                if fails is not None:
                    raise fails
                from pathlib import Path

                Path(root).mkdir(parents=True, exist_ok=True)
                self.raw_paths = [str(published(Path(root), [0.5, 1.5, 2.5]))]

            def __getitem__(self, index):
                import torch

                return SimpleNamespace(
                    x=torch.eye(3), edge_index=torch.from_numpy(PATH), y=torch.tensor([0, 1, 1])
                )

        monkeypatch.setattr(datasets, kind, Fake)

    return SimpleNamespace(install=install, calls=calls)


@pytest.mark.parametrize(
    ("name", "kind", "there"),
    [
        ("pubmed", "CitationFull", "PubMed"),
        ("dblp", "CitationFull", "DBLP"),
        ("citeseer", "CitationFull", "CiteSeer"),
        ("coauthor_physics", "Coauthor", "Physics"),
        ("amazon_photo", "Amazon", "Photo"),
        ("amazon_computers", "Amazon", "Computers"),
        ("cora", "Planetoid", "Cora"),
    ],
)
def test_a_graph_is_brought_once_and_then_like_any_file(fake, capfd, name, kind, there):
    fake.install(kind)
    graph = load_graph(name)
    assert (graph.num_nodes, graph.num_edges) == (3, 2)
    # values as published, not set to 1 as torch_geometric does; Planetoid is read through torch_geometric
    rows = (
        graph.features if kind == "Planetoid" else graph.features.toarray()
    )  # a third of 3 x 3 is not sparse
    assert rows.diagonal().tolist() == ([1, 1, 1] if kind == "Planetoid" else [0.5, 1.5, 2.5])
    assert load_graph(name).sha256 == graph.sha256
    assert fake.calls == [(kind, there)]
    assert capfd.readouterr().err == ""
    assert [use[0] for use in data.used()] == [name]
    assert not any((data.cache_folder() / ".partial").glob("*/*"))


def test_the_pinned_archive_goes_first(fake, fresh, monkeypatch):
    fake.install("Planetoid")
    (fresh / "graphs").mkdir()
    (fresh / "graphs/cora.npz").write_bytes(b"altered")
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh))
    with pytest.raises(data.ChecksumError, match="not the file of 'cora'"):
        load_graph("cora")
    assert fake.calls == []


def test_a_changed_file_is_noticed_after_its_first_use(fake):
    fake.install("CitationFull")
    load_graph("pubmed")
    path = data.locate("pubmed")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(data.ChecksumError, match="recorded at first use"):
        load_graph("pubmed")


def test_no_network_says_what_happened_and_what_to_do(fake):
    fake.install("Planetoid", fails=OSError("no route to host"))
    with pytest.raises(DataNotFoundError, match=r"cora.*no route to host.*EdisonLeeeee.*TRUSTLIB_DATA"):
        load_graph("cora")
    assert data.status("cora").state == "absent"


def test_acm_has_to_be_put_in_place():
    with pytest.raises(DataNotFoundError, match="To make it, convert the file of GitHub repository"):
        load_graph("acm")


def test_torch_geometric_missing_is_said(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "torch_geometric"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'trustlib\[graphs\]'"):
        import_geometric()
    with pytest.raises(DataNotFoundError, match=r"pip install 'trustlib\[graphs\]'"):
        load_graph("pubmed")


def ogb(monkeypatch, answer):
    """A stand-in for ogb whose data set does as ``answer`` says."""
    package, module = ModuleType("ogb"), ModuleType("ogb.nodeproppred")
    module.NodePropPredDataset = answer
    monkeypatch.setitem(sys.modules, "ogb", package)
    monkeypatch.setitem(sys.modules, "ogb.nodeproppred", module)


@pytest.mark.parametrize(
    ("name", "there"), [("ogbn_arxiv", "ogbn-arxiv"), ("ogbn_products", "ogbn-products")]
)
def test_benchmark_graphs_come_through_ogb(monkeypatch, name, there):
    def answer(name, root):
        assert name == there
        graph = {"edge_index": PATH, "node_feat": np.full((3, 2), 0.25), "num_nodes": 3}
        return [(graph, np.array([[0], [1], [1]]))]

    ogb(monkeypatch, answer)
    graph = load_graph(name)
    assert graph.features.tolist() == [[0.25, 0.25]] * 3
    assert graph.y.tolist() == [0, 1, 1]
    assert graph.num_edges == 2


def test_ogb_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ogb", None)
    with pytest.raises(DataNotFoundError, match=r"ogbn-arxiv needs the package ogb.*pip install ogb"):
        load_graph("ogbn_arxiv")


def test_a_refused_download_is_no_crash(monkeypatch):
    def answer(name, root):
        raise SystemExit(-1)

    ogb(monkeypatch, answer)
    with pytest.raises(DataNotFoundError, match="ogb asked whether to download ogbn-products"):
        load_graph("ogbn_products")


def test_a_file_has_one_source():
    with pytest.raises(ValueError, match="brought by another library, so it has neither urls"):
        FileSpec("a.npz", None, urls=("https://a.b",), bring=lambda folder: b"")
    assert FileSpec("a.npz", None, bring=lambda folder: b"").fetchable
    assert not FileSpec("a.npz", None).fetchable
