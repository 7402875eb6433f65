"""Trained encoders on disk: found again by the hash of recipe, code and data; checked before use, rebuilt if damaged.

An artefact is a folder with ``weights.safetensors`` and, written last, ``card.json``. The card holds the hash of the
weights: without a card that fits, an artefact does not exist.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from trustlib.encoders.checkpoints import replace_file
from trustlib.encoders.embeddings import embed
from trustlib.encoders.probes import linear_probe
from trustlib.encoders.recipes import Recipe, code_version
from trustlib.encoders.training import (
    TrainedEncoder,
    TrainingData,
    data_hash,
    finished,
    make_method,
    train,
    with_weights,
)

_FORMAT = 1
_SNAPSHOT = "snapshot."
ProbeData = tuple[Any, ArrayLike, Any, ArrayLike]


def encoder_folder() -> Path:
    """Where encoders are kept: ``encoders`` in the cache of `trustlib.data`, moved by ``$TRUSTLIB_CACHE``."""
    from trustlib.data import cache_folder

    return cache_folder() / "encoders"


def train_or_load(
    recipe: Recipe,
    pixels: Any,
    labels: ArrayLike | None = None,
    *,
    index: ArrayLike | None = None,
    snapshots: Sequence[int] = (),
    probe: ProbeData | None = None,
    folder: Path | None = None,
    checkpoint_every: int = 100,
    device: str | torch.device | None = None,
    progress: bool | None = None,
) -> TrainedEncoder:
    """The encoder of a recipe on some data: loaded if it was trained before, trained otherwise.

    The key is the SHA-256 of the recipe (seed included), of the code that carries it out, of pixels, labels and
    identities, and of the snapshots. Two processes that want the same encoder train it once. A training that was
    killed goes on from its last checkpoint. An artefact that is incomplete, altered or unreadable is trained anew,
    and the new card says why.

    Args:
        recipe: see `train`.
        pixels: see `train`.
        labels: see `train`.
        index: see `train`.
        snapshots: see `train`.
        probe: training images, their labels, test images, their labels: the accuracy of a linear probe goes onto
            the card. It does not decide which encoder is meant.
        folder: where artefacts lie; None: `encoder_folder`.
        checkpoint_every: see `train`.
        device: see `train`.
        progress: see `train`.

    Returns:
        The encoder with its ``card``: key, recipe, data, hash of the weights, loss curve, seconds, versions, probe.

    Raises:
        ValueError: see `train`.
        FloatingPointError: see `train`.

    Example:
        >>> import tempfile
        >>> recipe = Recipe(method="simsiam", backbone="small_conv", steps=2, batch_size=4)
        >>> images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> with tempfile.TemporaryDirectory() as place:
        ...     first = train_or_load(recipe, images, folder=Path(place))
        ...     again = train_or_load(recipe, images, folder=Path(place))
        >>> first.card["key"] == again.card["key"], first.card["loaded"], again.card["loaded"]
        (True, False, True)
    """
    from filelock import FileLock

    data = TrainingData.of(recipe, pixels, labels, index)
    mark = data_hash(data)
    key = recipe.hash(data=f"{mark} {sorted(snapshots)}")
    place = (encoder_folder() if folder is None else folder) / key
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_suffix(".lock")):
        card, reason = _read_card(place, key)
        if card is None:
            result = train(
                recipe, data.pixels, data.labels, index=data.index, snapshots=snapshots,
                checkpoint=place / "checkpoint", checkpoint_every=checkpoint_every, device=device, progress=progress,
            )  # fmt: skip
            card = _store(place, key, result, data, mark, reason)
            loaded = False
        else:
            result, loaded = _load(place, recipe, data, card, device), True
        if probe is not None:
            card = _with_probe(place, card, result, probe)
    return TrainedEncoder(
        result.encoder, recipe, result.losses, result.seconds, result.method, result.snapshots,
        {**card, "loaded": loaded},
    )  # fmt: skip


def _read_card(place: Path, key: str) -> tuple[dict[str, Any] | None, str | None]:
    """The card if the artefact is whole and unaltered, otherwise why it is not (None: it was never there)."""
    if not (place / "card.json").exists():
        return None, "weights without a card" if (place / "weights.safetensors").exists() else None
    try:
        card = json.loads((place / "card.json").read_text(encoding="utf-8"))
        digest = card["weights_sha256"]
        if (card["format"], card["key"]) != (_FORMAT, key):
            return None, f"the card is of format {card['format']} and key {str(card['key'])[:12]}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"the card cannot be read: {type(error).__name__}"
    try:
        found = _hash(place / "weights.safetensors")
    except OSError as error:
        return None, f"the weights cannot be read: {type(error).__name__}"
    if found != digest:
        return None, f"the weights have SHA-256 {found[:12]}..., the card says {str(digest)[:12]}..."
    return card, None


def _hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _store(
    place: Path, key: str, result: TrainedEncoder, data: TrainingData, mark: str, reason: str | None
) -> dict[str, Any]:
    """Writes weights, then the card; takes the checkpoint away."""
    import importlib.metadata

    from safetensors.torch import save

    (place / "card.json").unlink(missing_ok=True)  # from here on the old artefact does not exist
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in _state(result).items()}
    content = save(tensors)
    replace_file(place / "weights.safetensors", content)
    card = {
        "format": _FORMAT,
        "key": key,
        "recipe": result.recipe.to_dict(),
        "code_version": code_version(),
        "data_sha256": mark,
        "data_shape": list(data.pixels.shape),
        "n_classes": data.n_classes,
        "snapshots": sorted(result.snapshots),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "losses": result.losses.tolist(),
        "seconds": result.seconds,
        "device": str(next(result.encoder.parameters()).device),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("torch", "torchvision", "timm", "lightly", "numpy")
        }
        | {"python": platform.python_version()},
        "rebuilt_because": reason,
        "probe": None,
    }
    _write_card(place, card)
    (place / "checkpoint").unlink(missing_ok=True)
    return card


def _state(result: TrainedEncoder) -> dict[str, Tensor]:
    """All tensors of an artefact by name."""
    state = dict(result.method.state_dict())
    for step, encoder in result.snapshots.items():
        state |= {f"{_SNAPSHOT}{step}.{name}": value for name, value in encoder.state_dict().items()}
    return state


def _load(
    place: Path, recipe: Recipe, data: TrainingData, card: dict[str, Any], device: str | torch.device | None
) -> TrainedEncoder:
    """A trained encoder from checked files."""
    from safetensors.torch import load_file

    tensors = load_file(place / "weights.safetensors")
    method = make_method(
        recipe, size=data.pixels.shape[2], channels=data.pixels.shape[1], n_classes=data.n_classes
    )
    own = {name: value for name, value in tensors.items() if not name.startswith(_SNAPSHOT)}
    method.load_state_dict(own)
    method = finished(method.to(torch.device(device) if device is not None else data.pixels.device))
    snapshots = {}
    for step in card["snapshots"]:
        prefix = f"{_SNAPSHOT}{step}."
        weights = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
        snapshots[step] = with_weights(method.encoder, weights)
    losses = np.array(card["losses"], dtype=np.float64)
    return TrainedEncoder(method.encoder, recipe, losses, card["seconds"], method, snapshots)


def _with_probe(
    place: Path, card: dict[str, Any], result: TrainedEncoder, probe: ProbeData
) -> dict[str, Any]:
    """The card with the accuracy of a linear probe, computed once per set of probe data."""
    from trustlib.data.images import fingerprint

    train_pixels, train_labels, test_pixels, test_labels = probe
    mark = fingerprint(np.asarray(train_pixels), np.asarray(train_labels)) + fingerprint(
        np.asarray(test_pixels), np.asarray(test_labels)
    )
    if card["probe"] and card["probe"]["data_sha256"] == mark:
        return card
    fitted = linear_probe(
        embed(result.encoder, train_pixels), train_labels, embed(result.encoder, test_pixels), test_labels
    )
    card = {
        **card,
        "probe": {"accuracy": fitted.accuracy, "n_test": len(fitted.correct), "data_sha256": mark},
    }
    _write_card(place, card)
    return card


def _write_card(place: Path, card: dict[str, Any]) -> None:
    """Writes the card whole."""
    replace_file(place / "card.json", (json.dumps(card, indent=1, sort_keys=True) + "\n").encode())
