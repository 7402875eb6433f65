"""From the numbers of scenes to pixels: depth buffer, Lambert shading, stripes, haze. Whole batches at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trustlib.data.scene_draws import ATYPICAL_KINDS, SHAPES, SLOTS, SceneDraws, noise_stream

Floats = NDArray[np.float32]
GROUND, WALL, FIRST_SHAPE, VOID = 0, 1, 2, 255
_AMBIENT = 0.45
_BULGE = 0.45  # metres between the centre of a round object and its nearest point, per radius
_BOX_WIDTH, _BOX_HEIGHT = 0.85, 1.7  # in radii
_CONE_WIDTH, _CONE_HEIGHT = 0.95, 2.0
_CYLINDER_WIDTH, _CYLINDER_HEIGHT = 0.62, 2.0


@dataclass
class Canvas:
    """Depth, class, instance and colour of every pixel while a batch is drawn; (B, S, S) and (B, 3, S, S)."""

    depth: Floats
    mask: NDArray[np.uint8]
    instance: NDArray[np.int8]  # -1 where no object is
    color: Floats


def render(
    draws: SceneDraws,
    *,
    size: int,
    texture: float,
    noise: float,
    color_seed: int,
    atypical: NDArray[np.bool_],
) -> tuple[NDArray[np.uint8], Canvas]:
    """Pixels (B, 3, S, S) as bytes, and the canvas they came from."""
    canvas = _room(draws, size)
    checkered = atypical & (draws.atypical_kind == ATYPICAL_KINDS.index("checkered"))
    for slot in range(SLOTS):
        for shape in range(len(SHAPES)):
            rows = np.flatnonzero((draws.count > slot) & (draws.shape[:, slot] == shape))
            if len(rows):
                _draw(canvas, draws, rows, slot, shape, texture=texture, checkered=checkered)
    image = _developed(canvas, draws, noise=noise, color_seed=color_seed, atypical=atypical)
    flipped = atypical & (draws.atypical_kind == ATYPICAL_KINDS.index("upside down"))
    for array in (image, canvas.depth, canvas.mask, canvas.instance):
        array[flipped] = array[flipped][..., ::-1, :]
    return np.rint(image * 255).astype(np.uint8), canvas


def outlines(instance: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Object pixels with a neighbour (above, below, left or right) that belongs to something else."""
    edge = np.zeros(instance.shape, dtype=bool)
    rows, columns = instance[:, 1:] != instance[:, :-1], instance[..., 1:] != instance[..., :-1]
    edge[:, 1:] |= rows
    edge[:, :-1] |= rows
    edge[..., 1:] |= columns
    edge[..., :-1] |= columns
    return edge & (instance >= 0)


def _centers(size: int) -> Floats:
    """Middles of the pixels along one axis, in fractions of the image."""
    return ((np.arange(size) + 0.5) / size).astype(np.float32)


def _column(values: NDArray) -> Floats:
    """(B,) as float32 (B, 1, 1)."""
    return values.astype(np.float32)[:, None, None]


def _room(draws: SceneDraws, size: int) -> Canvas:
    """Ground with stripes in perspective, and the wall behind it.

    A camera at height 1 sees the ground at depth (1 - h) / (v - h) in row v, h being the horizon.
    """
    v = np.broadcast_to(_centers(size)[None, :, None], (len(draws.index), size, size))
    horizon, wall = _column(draws.horizon), _column(draws.wall)
    below = np.maximum(v - horizon, 1e-6)
    depth = np.minimum((1 - horizon) / below, wall)
    is_wall = depth >= wall
    stripes = np.sin(2 * np.pi * _column(draws.ground_stripes) * depth + _column(draws.ground_phase))
    lit = _column(_lambert(draws.light[:, 1])) * (1 + 0.1 * stripes)
    shade = np.where(
        is_wall, _column(_lambert(draws.light[:, 2])) * (1 + _column(draws.gradient) * (v - 0.25)), lit
    )
    base = np.where(
        is_wall[:, None],
        draws.backdrop.astype(np.float32)[:, :, None, None],
        draws.ground.astype(np.float32)[:, :, None, None],
    )
    return Canvas(
        depth=depth,
        mask=np.where(is_wall, WALL, GROUND).astype(np.uint8),
        instance=np.full(depth.shape, -1, dtype=np.int8),
        color=base * shade[:, None],
    )


def _lambert(cosine: NDArray) -> NDArray:
    """Ambient and diffuse light on a surface whose normal has this cosine with the light."""
    return _AMBIENT + (1 - _AMBIENT) * np.maximum(cosine, 0)


def _draw(
    canvas: Canvas,
    draws: SceneDraws,
    rows: NDArray[np.int64],
    slot: int,
    shape: int,
    *,
    texture: float,
    checkered: NDArray[np.bool_],
) -> None:
    """Puts the objects of one slot and one shape onto the canvas where they are nearest."""
    size = canvas.depth.shape[-1]
    z, radius = _column(draws.depth[rows, slot]), _column(draws.radius[rows, slot])
    horizon = _column(draws.horizon[rows])
    contact = horizon + (1 - horizon) / z
    a = (_centers(size)[None, None, :] - _column(draws.center[rows, slot])) / radius
    t = (contact - _centers(size)[None, :, None]) / radius  # height above the ground, in radii
    inside, bulge, normal = _SURFACES[shape](a, t, _column(draws.yaw[rows, slot]))
    depth = z - bulge
    visible = inside & (depth < canvas.depth[rows])
    light = draws.light[rows].astype(np.float32)[:, :, None, None]
    cosine = sum(part * light[:, axis] for axis, part in enumerate(normal))
    pattern = _pattern(draws, rows, slot, a, t, texture=texture, checkered=checkered & (slot == 0))
    albedo = draws.albedo[rows, slot].astype(np.float32)[:, :, None, None]
    color = (albedo + pattern[:, None]) * _lambert(cosine)[:, None]
    canvas.depth[rows] = np.where(visible, depth, canvas.depth[rows])
    canvas.mask[rows] = np.where(visible, np.uint8(FIRST_SHAPE + shape), canvas.mask[rows])
    canvas.instance[rows] = np.where(visible, np.int8(slot), canvas.instance[rows])
    canvas.color[rows] = np.where(visible[:, None], color, canvas.color[rows])


def _pattern(
    draws: SceneDraws,
    rows: NDArray[np.int64],
    slot: int,
    a: Floats,
    t: Floats,
    *,
    texture: float,
    checkered: NDArray[np.bool_],
) -> Floats:
    """What is added to the albedo: soft stripes, or the hard checks of an atypical subject."""
    along = draws.along[rows, slot][:, None, None]
    coordinate = np.where(along, a, t)
    wave = np.sin(_column(draws.stripes[rows, slot]) * coordinate + _column(draws.stripes_phase[rows, slot]))
    checks = np.sign(np.sin(8 * a)) * np.sign(np.sin(8 * t))
    return np.where(checkered[rows][:, None, None], 0.5 * checks, texture * wave).astype(np.float32)


def _sphere(a: Floats, t: Floats, yaw: Floats) -> tuple:
    """A ball that touches the ground."""
    b = t - 1
    q = 1 - a**2 - b**2
    front = np.sqrt(np.maximum(q, 0))
    return q >= 0, _BULGE * front, (a, b, front)


def _box(a: Floats, t: Floats, yaw: Floats) -> tuple:
    """The front of a box, turned by ``yaw``: a tilted plane."""
    inside = (np.abs(a) <= _BOX_WIDTH) & (t >= 0) & (t <= _BOX_HEIGHT)
    return inside, 0.3 - 0.35 * np.tan(yaw) * a + 0 * t, (np.sin(yaw), 0, np.cos(yaw) + 0 * (a + t))


def _cone(a: Floats, t: Floats, yaw: Floats) -> tuple:
    """A cone, round in a: half-width and bulge shrink with height."""
    width = _CONE_WIDTH * (1 - t / _CONE_HEIGHT)
    inside = (np.abs(a) <= width) & (t >= 0) & (t <= _CONE_HEIGHT)
    q = a / np.maximum(width, 1e-3)
    front = np.sqrt(np.maximum(1 - q**2, 0))
    slope = np.arctan2(_CONE_WIDTH, _CONE_HEIGHT)
    normal = (np.cos(slope) * q, np.float32(np.sin(slope)), np.cos(slope) * front)
    return inside, _BULGE * width * front, normal


def _cylinder(a: Floats, t: Floats, yaw: Floats) -> tuple:
    """An upright cylinder, round in a."""
    inside = (np.abs(a) <= _CYLINDER_WIDTH) & (t >= 0) & (t <= _CYLINDER_HEIGHT)
    q = a / _CYLINDER_WIDTH
    front = np.sqrt(np.maximum(1 - q**2, 0))
    return inside, _BULGE * _CYLINDER_WIDTH * front + 0 * t, (q, 0, front + 0 * t)


_SURFACES = (_sphere, _box, _cone, _cylinder)  # in the order of SHAPES


def _developed(
    canvas: Canvas, draws: SceneDraws, *, noise: float, color_seed: int, atypical: NDArray[np.bool_]
) -> Floats:
    """Haze, exposure, atypical tones and noise; in [0, 1]."""
    fog = 1 - np.exp(-_column(draws.haze) * np.maximum(canvas.depth - 1, 0) / 5)[:, None]
    haze = draws.haze_color.astype(np.float32)[:, :, None, None]
    image = (canvas.color * (1 - fog) + haze * fog) * _column(draws.exposure)[:, None]
    dark = atypical & (draws.atypical_kind == ATYPICAL_KINDS.index("dark"))
    image[dark] *= np.array([0.15, 0.17, 0.3], dtype=np.float32)[:, None, None]
    negative = atypical & (draws.atypical_kind == ATYPICAL_KINDS.index("negative"))
    image[negative] = 1 - np.clip(image[negative], 0, 1)
    if noise > 0:
        for row, index in enumerate(draws.index):
            grain = noise_stream(color_seed, int(index)).standard_normal(image.shape[1:], dtype=np.float32)
            image[row] += np.float32(noise) * grain
    return np.clip(image, 0, 1)
