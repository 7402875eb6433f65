"""Images in Parquet files: a struct of encoded bytes beside labels or masks. Reads only what is asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.data.checks import whole

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")
MASK_COLUMNS = ("mask",)
Size = int | tuple[int, int]


@dataclass(frozen=True)
class EncodedImages:
    """Rows of Parquet files, not decoded yet.

    Args:
        images: encoded files (PNG, JPEG, ...), one per row.
        masks: encoded single-channel files, or None.
        labels: int64 (n,), or None.
        names: file name per row as stored; empty text where none is.
        classes: names of the classes where the file says so, else empty.
    """

    images: tuple[bytes, ...]
    masks: tuple[bytes, ...] | None
    labels: NDArray[np.int64] | None
    names: tuple[str, ...]
    classes: tuple[str, ...]


def row_count(path: Path) -> int:
    """Number of rows of a Parquet file, from its footer alone."""
    import pyarrow.parquet as pq

    return int(pq.ParquetFile(path).metadata.num_rows)


def read_encoded(paths: Sequence[Path], *, rows: ArrayLike | None = None) -> EncodedImages:
    """Rows of one or several Parquet files that follow each other; only row groups that hold them are read.

    Args:
        paths: files with the same columns: a struct of ``bytes`` and ``path`` called `image` or `img`, and, if there,
            an integer `label` or `fine_label` and a struct `mask`.
        rows: numbers of the rows to read in that order, counted over all files; None: all.

    Returns:
        The rows.

    Raises:
        ValueError: no such image column (the message lists the columns), or a row that is not there.
    """
    counts = [row_count(path) for path in paths]
    ends = np.cumsum(counts)
    wanted = np.arange(int(ends[-1])) if rows is None else np.asarray(rows, dtype=np.int64)
    if len(wanted) and (wanted.min() < 0 or wanted.max() >= ends[-1]):
        raise ValueError(f"rows must be in [0, {ends[-1]}), got {wanted.min()} to {wanted.max()}.")
    files = np.searchsorted(ends, wanted, side="right")
    parts, order = [], []
    for file in np.unique(files):
        places = np.flatnonzero(files == file)
        local = wanted[places] - (ends[file] - counts[file])
        parts.append(_encoded(paths[file], local))
        order.append(places)
    if not parts:
        parts.append(_encoded(paths[0], np.empty(0, dtype=np.int64)))
        order.append(np.empty(0, dtype=np.int64))
    return _joined(parts, np.argsort(np.concatenate(order)))


def _joined(parts: Sequence[EncodedImages], order: NDArray[np.int64]) -> EncodedImages:
    """Parts of several files in the order asked for."""
    first = parts[0]
    images = [image for part in parts for image in part.images]
    masks = [mask for part in parts for mask in part.masks or ()]
    names = [name for part in parts for name in part.names]
    return EncodedImages(
        images=tuple(images[i] for i in order),
        masks=None if first.masks is None else tuple(masks[i] for i in order),
        labels=None if first.labels is None else np.concatenate([part.labels for part in parts])[order],
        names=tuple(names[i] for i in order),
        classes=first.classes,
    )


def _encoded(path: Path, rows: NDArray[np.int64]) -> EncodedImages:
    """The given rows of one file."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    image = _column(schema, IMAGE_COLUMNS)
    if image is None:
        raise ValueError(
            f"{path} has no image column: expected a struct with a field 'bytes' called one of {IMAGE_COLUMNS}, "
            f"got columns {schema.names}."
        )
    label, mask = _column(schema, LABEL_COLUMNS, struct=False), _column(schema, MASK_COLUMNS)
    table = _rows(file, rows, [name for name in (image, label, mask) if name is not None])
    return EncodedImages(
        images=tuple(_field(table, image, "bytes")),
        masks=None if mask is None else tuple(_field(table, mask, "bytes")),
        labels=None if label is None else table.column(label).to_numpy().astype(np.int64),
        names=tuple(name or "" for name in _field(table, image, "path")),
        classes=_classes(schema, label),
    )


def _column(schema: pa.Schema, names: Iterable[str], *, struct: bool = True) -> str | None:
    """The first of the names that is a struct of bytes, or a plain column."""
    import pyarrow as pa

    for name in names:
        if name in schema.names:
            kind = schema.field(name).type
            if pa.types.is_struct(kind) == struct and (not struct or kind.get_field_index("bytes") >= 0):
                return name
    return None


def _rows(file: pq.ParquetFile, rows: NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
    """Rows in the order given, from the row groups that hold them."""
    sizes = np.array(
        [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)], dtype=np.int64
    )
    ends = np.cumsum(sizes)
    group = np.searchsorted(ends, rows, side="right")
    read = np.zeros(len(sizes), dtype=bool)
    read[group] = True
    table = file.read_row_groups(np.flatnonzero(read).tolist(), columns=list(columns))
    skipped = np.cumsum(np.where(read, 0, sizes))  # rows of the file that lie before and were not read
    return table.take(rows - skipped[group])


def _field(table: pa.Table, column: str, field: str) -> list:
    """One field of a struct column as Python objects; empty values where the struct lacks it."""
    import pyarrow.compute as pc

    values = table.column(column)
    if values.type.get_field_index(field) < 0:
        return [None] * len(values)
    return pc.struct_field(values, field).to_pylist()


def _classes(schema: pa.Schema, label: str | None) -> tuple[str, ...]:
    """Class names from the metadata that public data set hubs write into their files."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None or label is None:
        return ()
    features = json.loads(raw).get("info", {}).get("features", {})
    return tuple(features.get(label, {}).get("names", ()))


def decode(
    encoded: Sequence[bytes], *, channels: Literal[1, 3] | None, size: Size | None, nearest: bool = False
) -> NDArray[np.uint8]:
    """Encoded images as one array of bytes.

    Args:
        encoded: files in any format that Pillow knows.
        channels: 1 grey, 3 RGB, None: 1 if all images are grey, else 3.
        size: height and width, one number for both; an image of another aspect ratio is scaled until it covers
            them and cut in the middle. None: as stored.
        nearest: take the nearest pixel (masks) instead of averaging areas (images).

    Returns:
        Shape (n, C, H, W).

    Raises:
        ValueError: images of different sizes and no ``size``, or bytes that are no image.
    """
    shape = None if size is None else _pair(size)
    with ThreadPoolExecutor(max_workers=4) as pool:  # Pillow decodes without holding the interpreter's lock
        images = list(pool.map(lambda content: _array(content, channels, shape, nearest=nearest), encoded))
    if not images:
        height, width = shape or (0, 0)
        return np.zeros((0, channels or 3, height, width), dtype=np.uint8)
    if channels is None and len({image.shape[0] for image in images}) > 1:
        images = [np.repeat(image, 3 // image.shape[0], axis=0) for image in images]
    sizes = sorted({image.shape[1:] for image in images})
    if len(sizes) > 1:
        raise ValueError(
            f"the images have {len(sizes)} sizes, from {sizes[0]} to {sizes[-1]}, and do not fit into one array. "
            "Pass size=(height, width)."
        )
    return np.stack(images)


def _pair(size: Size) -> tuple[int, int]:
    """Height and width."""
    height, width = (size, size) if isinstance(size, int) else size
    return whole("size", height, least=1), whole("size", width, least=1)


def _array(
    content: bytes, channels: int | None, shape: tuple[int, int] | None, *, nearest: bool
) -> NDArray[np.uint8]:
    """One image (C, H, W)."""
    from PIL import Image, UnidentifiedImageError

    try:
        image: Image.Image = Image.open(io.BytesIO(content))
        image.load()
    except (UnidentifiedImageError, OSError, TypeError) as error:
        raise ValueError(f"an image of {len(content or b'')} bytes cannot be decoded: {error}") from error
    if not nearest:  # class numbers of a mask stay as they are
        image = image.convert(_mode(image, channels))
    if shape is not None:
        image = _covering(image, shape, nearest=nearest)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _mode(image: Image.Image, channels: int | None) -> str:
    """Grey or colour, in Pillow's words."""
    if channels is None:
        return "L" if image.mode in ("1", "L", "I;16") else "RGB"
    return {1: "L", 3: "RGB"}[channels]


def _covering(image: Image.Image, shape: tuple[int, int], *, nearest: bool) -> Image.Image:
    """Scaled until it covers the shape, then cut in the middle."""
    from PIL import Image

    height, width = shape
    scale = max(height / image.height, width / image.width)
    cut_h, cut_w = height / scale, width / scale
    left, top = (image.width - cut_w) / 2, (image.height - cut_h) / 2
    if nearest:
        method = Image.Resampling.NEAREST
    else:
        method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return image.resize((width, height), method, box=(left, top, left + cut_w, top + cut_h))
