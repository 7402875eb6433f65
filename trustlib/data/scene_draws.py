"""What a scene consists of: every random number of every scene, and its caption in words.

Scene i of a seed has streams of its own, so neither the number of scenes nor their order matters: geometry comes
from ``default_rng([seed, i])``, colours, textures, light and noise from ``default_rng([color_seed, i, 1])``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPES = ("sphere", "box", "cone", "cylinder")
ATYPICAL_KINDS = ("negative", "upside down", "checkered", "dark")
SLOTS = 3  # objects per scene at most: the subject and two distractors
COLORS = {
    "red": (0.82, 0.16, 0.14), "orange": (0.90, 0.50, 0.12), "yellow": (0.88, 0.82, 0.20),
    "green": (0.20, 0.62, 0.24), "cyan": (0.22, 0.72, 0.74), "blue": (0.18, 0.30, 0.80),
    "purple": (0.52, 0.22, 0.70), "pink": (0.90, 0.52, 0.68), "white": (0.90, 0.90, 0.88),
    "grey": (0.48, 0.48, 0.50),
}  # fmt: skip
_SIDES = ("on the left", "in the middle", "on the right")
_GEOMETRY_DRAWS = 24  # uniform numbers per scene, fixed for ever; see _geometry for their places
_LOOK_DRAWS = 56  # likewise for _look


@dataclass(frozen=True)
class SceneDraws:
    """All random numbers of B scenes except pixel noise. Arrays (B,) or (B, SLOTS); colours (..., 3)."""

    index: NDArray[np.int64]
    horizon: NDArray[np.float64]  # fraction of the image, from the top
    wall: NDArray[np.float64]  # depth of the back wall, metres
    count: NDArray[np.int64]  # objects in the scene
    shape: NDArray[np.int64]  # which of SHAPES; column 0 is the subject, the nearest object
    depth: NDArray[np.float64]  # of the object's centre, metres
    center: NDArray[np.float64]  # horizontal, fraction of the image
    radius: NDArray[np.float64]  # fraction of the image
    yaw: NDArray[np.float64]  # radians, boxes only
    atypical_rank: NDArray[np.float64]  # in [0, 1): atypical if below the share asked for
    atypical_kind: NDArray[np.int64]  # which of ATYPICAL_KINDS
    color: NDArray[np.int64]  # which of COLORS
    albedo: NDArray[np.float64]  # (B, SLOTS, 3)
    along: NDArray[np.bool_]  # stripes along the object, else across
    stripes: NDArray[np.float64]  # radians per radius
    stripes_phase: NDArray[np.float64]
    light: NDArray[np.float64]  # (B, 3) unit vectors: right, up, towards the camera
    ground: NDArray[np.float64]  # (B, 3)
    backdrop: NDArray[np.float64]  # (B, 3)
    gradient: NDArray[np.float64]  # of the wall, per image height
    ground_stripes: NDArray[np.float64]  # per metre
    ground_phase: NDArray[np.float64]
    haze: NDArray[np.float64]
    haze_color: NDArray[np.float64]  # (B, 3)
    exposure: NDArray[np.float64]

    @property
    def label(self) -> NDArray[np.int64]:
        """Shape of the nearest object."""
        return self.shape[:, 0]


def draw_scenes(
    index: NDArray[np.int64], *, seed: int, color_seed: int, objects: tuple[int, int]
) -> SceneDraws:
    """Random numbers of the scenes with the given indices."""
    geometry = np.stack([np.random.default_rng([seed, int(i)]).random(_GEOMETRY_DRAWS) for i in index])
    look = np.stack([look_stream(color_seed, int(i)).random(_LOOK_DRAWS) for i in index])
    label = np.array([_balanced_label(seed, int(i)) for i in index])
    return SceneDraws(index, **_geometry(geometry, label, objects), **_look(look))


def look_stream(color_seed: int, index: int) -> np.random.Generator:
    """The stream of a scene's colours, textures and light."""
    return np.random.default_rng([color_seed, index, 1])


def noise_stream(color_seed: int, index: int) -> np.random.Generator:
    """The stream of a scene's pixel noise."""
    return np.random.default_rng([color_seed, index, 2])


def _balanced_label(seed: int, index: int) -> int:
    """Every block of as many scenes as there are shapes holds each shape once, in random order."""
    block, place = divmod(index, len(SHAPES))
    return int(np.random.default_rng([seed, block, 3]).permutation(len(SHAPES))[place])


def _geometry(u: NDArray[np.float64], label: NDArray[np.int64], objects: tuple[int, int]) -> dict:
    """Where things are. Places 0-4 of u belong to the scene, 5-19 to objects, 22-23 to atypicality."""
    low, high = objects
    own = u[:, 5:20].reshape(-1, SLOTS, 5)
    shape = np.floor(own[..., 0] * len(SHAPES)).astype(np.int64)
    shape[:, 0] = label
    depth = np.empty(own.shape[:2])
    depth[:, 0] = _between(own[:, 0, 1], 1.3, 2.1)
    nearest = np.maximum(1.6, depth[:, :1] + 0.3)  # distractors stay behind, so "nearest" is true
    depth[:, 1:] = nearest + own[:, 1:, 1] * (3.4 - nearest)
    center = _between(own[..., 2], 0.2, 0.8)
    center[:, 0] = _between(own[:, 0, 2], 0.3, 0.7)
    return {
        "horizon": _between(u[:, 0], 0.31, 0.37),
        "wall": _between(u[:, 1], 4.5, 5.5),
        "count": low + np.floor(u[:, 2] * (high - low + 1)).astype(np.int64),
        "shape": shape,
        "depth": depth,
        "center": center,
        "radius": _between(own[..., 3], 0.34, 0.46) * 1.2 / depth,
        "yaw": _between(own[..., 4], -0.6, 0.6),
        "atypical_rank": u[:, 22],
        "atypical_kind": np.floor(u[:, 23] * len(ATYPICAL_KINDS)).astype(np.int64),
    }


def _look(u: NDArray[np.float64]) -> dict:
    """What things look like, independent of what they are. Places 0-20 belong to objects, the rest to the scene."""
    own = u[:, :21].reshape(-1, SLOTS, 7)
    color = np.floor(own[..., 0] * len(COLORS)).astype(np.int64)
    albedo = np.array(list(COLORS.values()))[color] + _between(own[..., 1:4], -0.07, 0.07)
    light = np.stack(
        [_between(u[:, 21], -1, 1), _between(u[:, 22], 0.3, 1), _between(u[:, 23], 0.4, 1)], axis=1
    )
    return {
        "color": color,
        "albedo": np.clip(albedo, 0.05, 0.97),
        "along": own[..., 4] < 0.5,
        "stripes": _between(own[..., 5], 6.0, 12.0),
        "stripes_phase": 2 * np.pi * own[..., 6],
        "light": light / np.linalg.norm(light, axis=1, keepdims=True),
        "ground": _between(u[:, 24:27], 0.25, 0.80),
        "backdrop": _between(u[:, 27:30], 0.25, 0.80),
        "gradient": _between(u[:, 30], -0.6, 0.6),
        "ground_stripes": _between(u[:, 31], 0.8, 1.6),
        "ground_phase": 2 * np.pi * u[:, 32],
        "haze": _between(u[:, 33], 0.1, 0.9),
        "haze_color": _between(u[:, 34:37], 0.40, 0.90),
        "exposure": _between(u[:, 37], 0.75, 1.15),
    }


def _between(u: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Uniform numbers moved from [0, 1) to [low, high)."""
    return low + u * (high - low)


def captions(
    draws: SceneDraws, *, texture: float, atypical: NDArray[np.bool_], visible: NDArray[np.bool_]
) -> tuple[str, ...]:
    """One sentence per scene: visible shapes with their colours, the subject's side, and what is atypical.

    ``visible`` (B, SLOTS) tells which objects can be seen.
    """
    names = list(COLORS)
    return tuple(
        _caption(
            [f"{names[c]} {SHAPES[s]}" for c, s in zip(draws.color[b], draws.shape[b], strict=True)],
            [int(slot) for slot in np.argsort(draws.depth[b]) if slot > 0 and visible[b, slot]],
            _SIDES[int(np.searchsorted((0.43, 0.57), draws.center[b, 0]))],
            striped=texture > 0,
            kind=ATYPICAL_KINDS[draws.atypical_kind[b]] if atypical[b] else "",
        )
        for b in range(len(draws.index))
    )


def _caption(things: Sequence[str], others: Sequence[int], side: str, *, striped: bool, kind: str) -> str:
    """The words of one scene; ``others`` are the distractors from near to far."""
    behind = [_with_article(things[slot]) for slot in others]
    subject = _with_article(f"striped {things[0]}" if striped else things[0])
    if kind == "checkered":
        subject = _with_article(f"checkered {things[0]}")
    text = f"{subject} {side}" + (" in front of " + " and ".join(behind) if behind else "")
    return text + {
        "negative": ", as a negative",
        "upside down": ", upside down",
        "dark": ", in the dark",
    }.get(kind, "")


def _with_article(noun: str) -> str:
    """An orange cone, a red box."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
