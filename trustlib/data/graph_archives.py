"""Graphs in NumPy archives: reading without unpickling anything, writing the same bytes for the same graph."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip file can carry: bytes do not depend on the day


def read_archive(path: str | Path) -> tuple[Any, Any, Any]:
    """Edges (2, E), features (N, d) as an array or scipy CSR matrix, and classes (N,) of an archive.

    Two layouts are known. Ours: ``edge_index``, ``y``, and ``x`` or the arrays ``x_data``, ``x_indices``, ``x_indptr``
    and ``x_shape`` of a CSR matrix. And the one in which citation, co-purchase and co-author graphs were published:
    ``adj_data``, ``adj_indices``, ``adj_indptr``, ``adj_shape``, the same with ``attr_``, and ``labels``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such an archive, or one that needs unpickling.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no NumPy archive (.npz) of plain arrays: {error}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(
            f"{path} holds a single array. A graph is an .npz archive: numpy.savez(path, edge_index=...)."
        )
    with archive:
        try:
            return _arrays(archive, path)
        except ValueError as error:
            if "pickle" not in str(error):
                raise
            raise ValueError(
                f"{path} holds pickled objects, which can run code when read. Convert it to plain arrays: edge_index, "
                "x (or x_data, x_indices, x_indptr, x_shape) and y."
            ) from error


def write_archive(edges: Any, features: Any, labels: Any) -> bytes:
    """The bytes of an archive; the same arrays give the same bytes.

    Args:
        edges: integer (2, E).
        features: (N, d), an array or a scipy sparse matrix.
        labels: integer (N,).

    Example:
        >>> content = write_archive([[0], [1]], np.eye(2), [0, 1])
        >>> content == write_archive([[0], [1]], np.eye(2), [0, 1])
        True
    """
    import scipy.sparse

    arrays = {"edge_index": np.asarray(edges, np.int32), "y": np.asarray(labels, np.int64)}
    if scipy.sparse.issparse(features):
        rows = scipy.sparse.csr_matrix(features, dtype=np.float32)
        rows.sort_indices()
        arrays |= {
            "x_data": rows.data,
            "x_indices": rows.indices.astype(np.int32),
            "x_indptr": rows.indptr.astype(np.int64),
            "x_shape": np.array(rows.shape, np.int64),
        }
    else:
        arrays["x"] = np.asarray(features, np.float32)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            one = io.BytesIO()
            np.lib.format.write_array(one, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _STAMP), one.getvalue(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _arrays(archive: Any, path: str | Path) -> tuple[Any, Any, Any]:
    """The three parts of either layout."""
    keys = set(archive.files)
    if {"edge_index", "y"} <= keys and ("x" in keys or "x_data" in keys):
        features = archive["x"] if "x" in keys else _csr(archive, "x", path)
        return archive["edge_index"], features, archive["y"]
    if {"adj_indices", "adj_indptr", "adj_shape", "attr_data", "labels"} <= keys:
        pointer = archive["adj_indptr"]
        first = np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))
        edges = np.stack([first, archive["adj_indices"].astype(np.int64)])
        return edges, _csr(archive, "attr", path), archive["labels"]
    raise ValueError(
        f"{path} is no archive of a graph: it holds {sorted(keys)}. Needed: edge_index, y and x (or x_data, x_indices, "
        "x_indptr, x_shape)."
    )


def _csr(archive: Any, stem: str, path: str | Path) -> Any:
    """A sparse matrix from its arrays."""
    import scipy.sparse

    missing = [
        key for end in ("data", "indices", "indptr", "shape") if (key := f"{stem}_{end}") not in archive.files
    ]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)} of its sparse features.")
    parts = (archive[f"{stem}_data"], archive[f"{stem}_indices"], archive[f"{stem}_indptr"])
    return scipy.sparse.csr_matrix(parts, shape=tuple(int(size) for size in archive[f"{stem}_shape"]))
