"""Image sets that need no file: drawn scenes and the digits bundled with scikit-learn."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
from pathlib import Path

import numpy as np

from trustlib.data import scenes
from trustlib.data.registry import register
from trustlib.data.specs import DatasetSpec, Embedded


def scenes_pictures() -> str:
    """Pictures and null baselines of the scenes, as Markdown; both are made anew from the generator."""
    null = scenes.scene_nulls()
    shares = ", ".join(
        f"{name} {share:.3f}" for name, share in zip(scenes.MASK_CLASSES, null.shares, strict=True)
    )
    return (
        f"![Twelve drawn rooms with coloured spheres, boxes, cones and cylinders; below them their masks and their "
        f"depth, near dark and far light.](data:image/png;base64,{_contact_sheet()})\n\n"
        "*Twelve scenes of 64 x 64 pixels, the last three atypical; their masks; their depth.*\n\n"
        f"**Null baselines** (fitted on {null.n_train} scenes, scored on {null.n_test} others): label accuracy "
        f"{null.accuracy:.3f} for one constant label and {null.mean_color_accuracy:.3f} from the three mean colours; "
        f"mean intersection over union {null.miou:.3f} for the most frequent class of every position, whose pixel "
        f"accuracy is {null.pixel_accuracy:.3f}; root mean square error {null.rmse:.3f} m for the mean depth map. "
        f"Shares of the mask classes: {shares}."
    )


@functools.cache
def _contact_sheet() -> str:
    """Scenes, masks and depth in three rows, as a PNG in base 64."""
    from PIL import Image

    usual, unusual = scenes.make_scenes(9, size=64), scenes.make_scenes(3, size=64, start=9, atypical=1.0)
    image = np.concatenate([usual.image, unusual.image])
    mask = np.concatenate([usual.mask, unusual.mask]) / (len(scenes.MASK_CLASSES) - 1)
    depth = np.concatenate([usual.depth, unusual.depth]) / 5.5
    rows = [image, np.repeat(mask[:, None], 3, axis=1), np.repeat(depth[:, None], 3, axis=1)]
    sheet = np.concatenate([np.concatenate(list(row), axis=2) for row in rows], axis=1).transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(np.rint(sheet * 255).clip(0, 255).astype(np.uint8)).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()


def digits_home() -> Path:
    """Where scikit-learn keeps its digits."""
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"


@functools.cache
def digits_fingerprint() -> str:
    """SHA-256 of the bundled pixels and labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    content = digits.images.astype(np.uint8).tobytes() + digits.target.astype(np.uint8).tobytes()
    return hashlib.sha256(content).hexdigest()


register(
    DatasetSpec(
        name="scenes",
        kind="images",
        title="Scenes (drawn)",
        size="any number of colour images of 16 x 16 pixels or more (32 unless asked otherwise)",
        origin="Drawn by this library (`trustlib.data.make_scenes`) with NumPy: a room with 1 to 3 objects, its label "
        "(shape of the nearest object), mask, depth and caption.",
        licence="MIT, like the library.",
        citation="This library.",
        problems=(
            "Four shapes, no real textures, one viewpoint: results show that a method works as described, not how "
            "well it does on photographs.",
            "Pixel accuracy of a mask is nearly useless (see the null baselines); read the intersection over union.",
            "The SHA-256 is that of reference scenes: it identifies the generator. Which scenes a run used follows "
            "from its parameters n and seed.",
        ),
        splits={"train": 4000, "val": 1000, "test": 1000},
        embedded=Embedded(
            home=lambda: Path(scenes.__file__),
            fingerprint=scenes.reference_fingerprint,
            how="generated",
            details=scenes_pictures,
        ),
    )
)

register(
    DatasetSpec(
        name="digits",
        kind="images",
        title="Digits (scikit-learn)",
        size="1 797 grey images of 8 x 8 pixels, 10 digits",
        origin="E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "1998 (its test part); bundled with scikit-learn. The split is ours: a fixed random fifth for testing.",
        licence="CC BY 4.0 for the UCI original.",
        citation="E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "1998, doi 10.24432/C50P49.",
        problems=(
            "Thirteen writers; the split here does not keep writers apart, so test accuracy is optimistic.",
            "Too easy to tell methods apart: a nearest neighbour is right about 98 times in 100.",
        ),
        splits={"train": 1438, "test": 359},
        embedded=Embedded(home=digits_home, fingerprint=digits_fingerprint, how="bundled"),
    )
)
