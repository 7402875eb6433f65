"""Random views of images: drawn per image from a key, applied to the whole batch at once, on any device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trustlib.encoders.keys import key_uniforms
from trustlib.encoders.operations import color_jitter, crop_resize, gaussian_blur, grey, solarize

Strength = Literal["none", "pad_crop", "weak", "normal", "strong", "independent", "simclr", "moco", "dino"]
_ATTEMPTS = 10  # boxes tried before the whole image is taken, as torchvision does
_DRAWS = 4 * _ATTEMPTS + 24  # uniform numbers per view, fixed for ever; see draw_views for their places
_CHUNK = 1 << 20  # numbers in the images that are treated together on a CPU: they stay in its cache


@dataclass(frozen=True)
class Augmentation:
    """A distribution of random views; the operations come in the order of the fields, with torchvision's meaning.

    Calling it with images and a generator gives one view of each. View b depends on nothing but image b and its key,
    so it is the same in any batch, in any order and on any device up to rounding.

    Args:
        size: height and width of a view; None: those of the image.
        crop_area: share of the image's area that a random crop keeps, (least, greatest) in (0, 1]; None: no crop.
        crop_ratio: width over height of the crop, (least, greatest).
        padding: instead of a random crop: black border in pixels before a crop of the image's own size.
        flip: probability of mirroring left and right.
        vertical_flip: probability of mirroring top and bottom.
        jitter: probability of colour jitter.
        brightness: factor from [max(0, 1 - b), 1 + b].
        contrast: likewise.
        saturation: likewise.
        hue: turn from [-hue, hue], in [0, 0.5] of the circle.
        channel_gain: factor per channel from [1 - g, 1 + g], always applied, clamped to [0, 1].
        channel_shuffle: probability of a random order of the channels.
        grey: probability of losing colour.
        blur: probability of a Gaussian blur.
        blur_sigma: its standard deviation in pixels, (least, greatest).
        blur_kernel: its taps per axis, odd.
        solarize: probability of inverting values >= 0.5.
        invert: probability of a negative.

    Raises:
        ValueError: a probability, range or kernel that makes no sense; the message names it.

    Example:
        >>> images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> augment = Augmentation(crop_area=(0.5, 1.0))
        >>> views = augment(images, torch.Generator().manual_seed(1))
        >>> views.shape
        torch.Size([2, 3, 8, 8])
        >>> torch.equal(augment.keyed(images, [7, 8])[1], augment.keyed(images[1:], [8])[0])
        True

    Source: torchvision's RandomResizedCrop, ColorJitter, RandomGrayscale, GaussianBlur, RandomSolarize, RandomInvert.
    """

    size: int | tuple[int, int] | None = None
    crop_area: tuple[float, float] | None = (0.2, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    padding: int = 0
    flip: float = 0.5
    vertical_flip: float = 0.0
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    channel_gain: float = 0.0
    channel_shuffle: float = 0.0
    grey: float = 0.2
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int = 3
    solarize: float = 0.0
    invert: float = 0.0

    def __post_init__(self) -> None:
        for name in (
            "flip",
            "vertical_flip",
            "jitter",
            "channel_shuffle",
            "grey",
            "blur",
            "solarize",
            "invert",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability in [0, 1], got {getattr(self, name)}")
        for name in ("brightness", "contrast", "saturation", "padding"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue must be in [0, 0.5] of the colour circle, got {self.hue}")
        if not 0 <= self.channel_gain <= 1:
            raise ValueError(f"channel_gain must be in [0, 1], got {self.channel_gain}")
        if self.crop_area is not None and not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError(f"crop_area must be (least, greatest) within (0, 1], got {self.crop_area}")
        if self.crop_area is not None and self.padding:
            raise ValueError(
                f"crop_area and padding exclude each other, got padding={self.padding}; pass crop_area=None"
            )
        for name in ("crop_ratio", "blur_sigma"):
            if not 0 < getattr(self, name)[0] <= getattr(self, name)[1]:
                raise ValueError(f"{name} must be (least, greatest) > 0, got {getattr(self, name)}")
        if self.blur_kernel % 2 != 1 or self.blur_kernel < 1:
            raise ValueError(f"blur_kernel must be odd and >= 1, got {self.blur_kernel}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """One random view of every image, keys drawn from the generator.

        Args:
            images: (B, C, H, W) or one image (C, H, W), C is 1 or 3; float in [0, 1], or uint8.
            generator: decides the views; moved on by one number per image.

        Returns:
            float32 in [0, 1], the same number of axes.
        """
        count = len(images) if images.ndim == 4 else 1
        keys = torch.randint(0, 2**63 - 1, (count,), generator=generator, device=generator.device)
        return self.keyed(images, keys.cpu().numpy())

    def keyed(self, images: Tensor, keys: ArrayLike) -> Tensor:
        """The view of every image that its key stands for.

        Args:
            images: as in a call.
            keys: integer (B,), one per image, as of `view_keys`.

        Returns:
            float32 in [0, 1].

        Raises:
            TypeError: images that are neither uint8 nor floating point.
            ValueError: another shape, or another number of keys.
        """
        batch = images[None] if images.ndim == 3 else images
        keys = np.atleast_1d(np.asarray(keys, dtype=np.int64))
        _refuse(batch, keys)
        views = draw_views(self, keys, height=batch.shape[2], width=batch.shape[3])
        size = _pair(self.size) if self.size is not None else (batch.shape[2], batch.shape[3])
        largest = batch.shape[1] * max(batch.shape[2] * batch.shape[3], size[0] * size[1])
        step = max(1, _CHUNK // largest) if batch.device.type == "cpu" else len(batch)
        if step >= len(batch):
            out = apply_views(self, batch, views.to(batch.device))
        else:
            out = torch.empty(len(batch), batch.shape[1], *size)
            for part in (slice(start, start + step) for start in range(0, len(batch), step)):
                out[part] = apply_views(self, batch[part], views.part(part))
        return out[0] if images.ndim == 3 else out


@dataclass(frozen=True)
class Views:
    """Drawn parameters of B views; see the operations for their meaning."""

    boxes: Tensor  # integer (B, 4)
    flip: Tensor  # bool (B,), like all of the switches
    vertical_flip: Tensor
    jitter: Tensor
    factors: Tensor  # (B, 4)
    order: Tensor  # integer (B, 4)
    gain: Tensor  # (B, 3)
    shuffle: Tensor  # integer (B, 3): the order of the channels
    grey: Tensor
    blur: Tensor
    sigma: Tensor  # (B,)
    solarize: Tensor
    invert: Tensor

    def part(self, rows: slice) -> Views:
        """Some of the views."""
        return Views(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})

    def to(self, device: torch.device) -> Views:
        """The same numbers on a device."""
        if device.type == "cpu":
            return self
        return Views(**{item.name: getattr(self, item.name).to(device) for item in fields(self)})


def draw_views(augmentation: Augmentation, keys: NDArray[np.int64], *, height: int, width: int) -> Views:
    """Parameters of the views that keys stand for, for images of one size.

    Args:
        augmentation: the distribution.
        keys: integer (B,).
        height: of the images.
        width: of the images.

    Returns:
        The parameters, on the CPU.
    """
    a, u = augmentation, key_uniforms(keys, _DRAWS)
    v = u[:, 4 * _ATTEMPTS :]  # boxes come first
    gain = 1 + a.channel_gain * (2 * v[:, 12:15] - 1)
    shuffle = np.where(v[:, 15:16] < a.channel_shuffle, np.argsort(v[:, 16:19], axis=1), np.arange(3))
    numbers = {
        "boxes": _boxes(a, u, height, width),
        "flip": v[:, 0] < a.flip,
        "vertical_flip": v[:, 1] < a.vertical_flip,
        "jitter": v[:, 2] < a.jitter,
        "factors": _factors(a, v[:, 3:7]),
        "order": np.argsort(v[:, 8:12], axis=1),
        "gain": gain.astype(np.float32),
        "shuffle": shuffle,
        "grey": v[:, 7] < a.grey,
        "blur": v[:, 19] < a.blur,
        "sigma": (a.blur_sigma[0] + v[:, 20] * (a.blur_sigma[1] - a.blur_sigma[0])).astype(np.float32),
        "solarize": v[:, 21] < a.solarize,
        "invert": v[:, 22] < a.invert,
    }
    return Views(**{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in numbers.items()})


def _factors(a: Augmentation, u: NDArray[np.float64]) -> NDArray[np.float32]:
    """Brightness, contrast, saturation and hue (B, 4)."""
    strength = np.array([a.brightness, a.contrast, a.saturation])
    low = np.append(np.maximum(0, 1 - strength), -a.hue)
    high = np.append(1 + strength, a.hue)
    return (low + u * (high - low)).astype(np.float32)


def _boxes(a: Augmentation, u: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """Boxes (B, 4): top, left, height, width."""
    count = len(u)
    if a.padding:
        shift = np.floor(u[:, :2] * (2 * a.padding + 1)).astype(np.int64) - a.padding
        return np.concatenate([shift, np.broadcast_to([height, width], (count, 2))], axis=1)
    if a.crop_area is None:
        return np.broadcast_to(np.array([0, 0, height, width]), (count, 4)).copy()
    draws = u[:, : 4 * _ATTEMPTS].reshape(count, _ATTEMPTS, 4)
    area = height * width * (a.crop_area[0] + draws[..., 0] * (a.crop_area[1] - a.crop_area[0]))
    low, high = np.log(a.crop_ratio)
    ratio = np.exp(low + draws[..., 1] * (high - low))
    w = np.rint(np.sqrt(area * ratio)).astype(np.int64)
    h = np.rint(np.sqrt(area / ratio)).astype(np.int64)
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = np.argmax(fits, axis=1)
    row = np.arange(count)
    w, h, place = w[row, first], h[row, first], draws[row, first, 2:]
    top = np.floor(place[:, 0] * (height - h + 1)).astype(np.int64)
    left = np.floor(place[:, 1] * (width - w + 1)).astype(np.int64)
    boxes = np.stack([top, left, h, w], axis=1)
    boxes[~fits.any(axis=1)] = _fallback(a.crop_ratio, height, width)
    return boxes


def _fallback(ratio: tuple[float, float], height: int, width: int) -> tuple[int, int, int, int]:
    """The largest box in the middle with an allowed aspect ratio."""
    here = width / height
    w, h = width, height
    if here < ratio[0]:
        h = round(w / ratio[0])
    elif here > ratio[1]:
        w = round(h * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def apply_views(augmentation: Augmentation, images: Tensor, views: Views) -> Tensor:
    """The views with drawn parameters: crop and flips, jitter, channels, grey, blur, solarise, invert.

    Args:
        augmentation: which operations are in use, their size and kernel.
        images: (B, C, H, W), uint8 or float in [0, 1].
        views: parameters on the same device.

    Returns:
        float32 (B, C, *size) in [0, 1].
    """
    a = augmentation
    x = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
    size = _pair(a.size) if a.size is not None else (x.shape[2], x.shape[3])
    x = crop_resize(x, views.boxes, size=size, flip=views.flip, vertical_flip=views.vertical_flip)
    if a.jitter > 0:
        _where(x, views.jitter, lambda rows, part: color_jitter(part, views.factors[rows], views.order[rows]))
    if a.channel_gain > 0:
        x.mul_(views.gain[:, : x.shape[1], None, None]).clamp_(0, 1)
    if a.channel_shuffle > 0 and x.shape[1] == 3:
        x = x.gather(1, views.shuffle[:, :, None, None].expand_as(x))
    if a.grey > 0 and x.shape[1] == 3:
        _where(x, views.grey, lambda rows, part: grey(part).expand_as(part))
    if a.blur > 0:
        _where(x, views.blur, lambda rows, part: gaussian_blur(part, views.sigma[rows], kernel=a.blur_kernel))
    if a.solarize > 0:
        _where(x, views.solarize, lambda rows, part: solarize(part, 0.5))
    if a.invert > 0:
        _where(x, views.invert, lambda rows, part: 1 - part)
    return x


def _where(images: Tensor, switch: Tensor, operation: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Replaces the images that are switched on by ``operation(rows, images[rows])``, in place."""
    rows = torch.nonzero(switch).flatten()
    if len(rows) == len(images):
        images.copy_(operation(rows, images))
    elif len(rows):
        images[rows] = operation(rows, images[rows])


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


def _refuse(images: Tensor, keys: NDArray[np.int64]) -> None:
    """Refuses images and keys that do not fit."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must be (B, 1 or 3, H, W) or one such image, got {tuple(images.shape)}")
    if not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise TypeError(f"images must be uint8 or floating point in [0, 1], got {images.dtype}")
    if keys.shape != (len(images),):
        raise ValueError(f"keys must hold one number per image, ({len(images)},), got {keys.shape}")


_NO_CHANGE = Augmentation(crop_area=None, flip=0.0, jitter=0.0, grey=0.0)
_PRESETS: dict[str, Augmentation] = {
    "none": _NO_CHANGE,
    "pad_crop": replace(_NO_CHANGE, padding=4, flip=0.5),
    "weak": Augmentation(
        crop_area=(0.08, 1.0), jitter=0.4, brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, grey=0.1
    ),
    "normal": Augmentation(
        crop_area=(0.08, 1.0), flip=1.0, jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2
    ),
    "strong": Augmentation(
        crop_area=(0.08, 1.0), flip=1.0, vertical_flip=1.0, jitter=0.9, brightness=0.8, contrast=0.8,
        saturation=0.8, hue=0.2, grey=0.5,
    ),
    "independent": Augmentation(
        crop_area=(0.08, 1.0), flip=0.0, vertical_flip=1.0, jitter=0.0, grey=0.0, blur=1.0, invert=0.2
    ),
    "simclr": Augmentation(
        crop_area=(0.08, 1.0), brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grey=0.2, blur=0.5
    ),
    "moco": Augmentation(crop_area=(0.2, 1.0), blur=0.5),
    "dino": Augmentation(crop_area=(0.4, 1.0), saturation=0.2, blur=0.5, solarize=0.1),
}  # fmt: skip


def augmentation(strength: Strength, *, size: int | tuple[int, int] | None = None) -> Augmentation:
    """A named distribution of views; ``dataclasses.replace`` changes single numbers of it.

    "weak", "normal", "strong" and "independent" are those of the memorization study (its jitter strength of "strong"
    is not given; that of "normal" is used), "simclr" is SimCLR's at strength 1, "moco" MoCo v2's and SimSiam's,
    "dino" DINO's for global crops, "pad_crop" a shift by up to four pixels and a flip, "none" the image itself.

    Args:
        strength: which.
        size: height and width of a view; None: those of the image.

    Returns:
        The augmentation. Blur has 3 taps: the tenth of 32 pixels that SimCLR takes.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> augmentation("weak").jitter
        0.4

    Source: Wang et al., NeurIPS 2024, appendix; Chen et al., ICML 2020 (SimCLR); Chen et al. 2020 (MoCo v2);
    Caron et al., ICCV 2021 (DINO).
    """
    if strength not in _PRESETS:
        raise ValueError(f"strength must be one of {', '.join(get_args(Strength))}, got {strength!r}")
    return replace(_PRESETS[strength], size=size)
