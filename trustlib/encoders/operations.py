"""Image operations on whole batches, each image with its own parameters; equal to torchvision's on single images.

All take float images (B, C, H, W) in [0, 1] and parameters (B,) on the same device, and return new tensors in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

_GREY = (0.2989, 0.587, 0.114)  # weights of red, green, blue, as torchvision has them
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def crop_resize(
    images: Tensor,
    boxes: Tensor,
    *,
    size: tuple[int, int],
    flip: Tensor | None = None,
    vertical_flip: Tensor | None = None,
) -> Tensor:
    """Cut a box out of every image and scale it to one size, bilinear with antialiasing; flip some of them.

    out[b, c] = rows[b] @ images[b, c] @ columns[b].T with interpolation weights
    max(0, 1 - |x + 1/2 - start - scale (i + 1/2)| / max(scale, 1)), normalised over the pixels x of the box.

    Args:
        images: float (B, C, H, W).
        boxes: integer (B, 4): top, left, height, width. Parts outside of the image are black.
        size: height and width of the result.
        flip: bool (B,), mirror left and right.
        vertical_flip: bool (B,), mirror top and bottom.

    Returns:
        Shape (B, C, *size).

    Raises:
        ValueError: boxes of another shape, or empty boxes.

    Example:
        >>> image = torch.arange(16.0).view(1, 1, 4, 4) / 16
        >>> crop_resize(image, torch.tensor([[1, 1, 2, 2]]), size=(2, 2)) * 16
        tensor([[[[ 5.,  6.],
                  [ 9., 10.]]]])

    Source: torchvision's ``resized_crop`` with antialiasing.
    """
    batch, channels, height, width = images.shape
    if boxes.shape != (batch, 4):
        raise ValueError(
            f"boxes must be (B, 4) = ({batch}, 4): top, left, height, width; got {tuple(boxes.shape)}"
        )
    if batch and int(boxes[:, 2:].min()) < 1:
        raise ValueError("boxes must be at least one pixel high and wide")
    box = boxes.to(images.dtype)
    rows = _weights(box[:, 0], box[:, 2], height, size[0], vertical_flip)
    columns = _weights(box[:, 1], box[:, 3], width, size[1], flip)
    wide = torch.bmm(images.reshape(batch, channels * height, width), columns.transpose(1, 2))
    wide = wide.view(batch, channels, height, size[1])
    out = images.new_empty(batch, channels, *size)
    for channel in range(
        channels
    ):  # a batched product per channel beats broadcasting rows, which copies them
        out[:, channel] = torch.bmm(rows, wide[:, channel])
    return out


def _weights(start: Tensor, length: Tensor, full: int, size: int, flip: Tensor | None) -> Tensor:
    """Interpolation weights (B, size, full) of one axis."""
    scale = length / size
    target = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    if flip is not None:
        target = torch.where(flip[:, None], size - target, target)
    center = start[:, None] + scale[:, None] * target  # (B, size)
    pixel = torch.arange(full, device=start.device, dtype=start.dtype) + 0.5
    distance = (pixel - center[:, :, None]).abs_()
    weights = distance.div_(scale.clamp(min=1)[:, None, None]).neg_().add_(1).clamp_(min=0)
    outside = (pixel < start[:, None]) | (pixel > (start + length)[:, None])
    weights.masked_fill_(outside[:, None], 0)
    return weights.div_(weights.sum(dim=2, keepdim=True).clamp_(min=1e-6))


def grey(images: Tensor) -> Tensor:
    """Weighted sum of red, green and blue, (B, 1, H, W); a single channel stays as it is.

    Example:
        >>> grey(torch.ones(1, 3, 1, 1))
        tensor([[[[0.9999]]]])

    Source: torchvision's ``rgb_to_grayscale``.
    """
    if images.shape[1] == 1:
        return images.clone()
    red, green, blue = images.unbind(dim=1)
    total = red.mul(_GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])
    return total.unsqueeze(1)


def color_jitter(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue of every image by its own factors and in its own order.

    The first three are blends, clamp(factor * x + (1 - factor) * target, 0, 1), with target 0 (brightness), the mean
    of the grey image (contrast) or the grey image (saturation); the last turns the hue of HSV.

    Args:
        images: float (B, 3, H, W), or (B, 1, H, W), whose saturation and hue do not exist and stay.
        factors: (B, 4): brightness >= 0, contrast >= 0, saturation >= 0, hue in [-0.5, 0.5].
        order: integer (B, 4), each row a permutation of 0 to 3: which operation comes first, second, ...

    Returns:
        Shape of ``images``.

    Example:
        >>> image = torch.full((1, 3, 1, 1), 0.4)
        >>> color_jitter(image, torch.tensor([[0.5, 1, 1, 0]]), torch.tensor([[0, 1, 2, 3]])).flatten()
        tensor([0.2000, 0.2000, 0.2000])

    Source: torchvision's ``adjust_brightness``, ``adjust_contrast``, ``adjust_saturation``, ``adjust_hue``.
    """
    out = images.clone()
    for place in range(4):
        operation = order[:, place]
        turned = torch.nonzero((operation == HUE) & (factors[:, HUE] != 0)).flatten()
        if len(turned) and images.shape[1] == 3:
            out[turned] = adjust_hue(out[turned], factors[turned, HUE])
        _blend(out, factors, operation)
    return out


def _blend(images: Tensor, factors: Tensor, operation: Tensor) -> None:
    """One of the three blends for every image, in place; hue counts as a blend with factor 1."""
    blended = operation != HUE
    if images.shape[1] == 1:
        blended = blended & (operation != SATURATION)
    chosen = factors.gather(1, operation[:, None])[:, 0]
    factor = torch.where(blended, chosen, torch.ones_like(chosen))[:, None, None, None]
    shade = grey(images)
    mean = shade.mean(dim=(1, 2, 3), keepdim=True)
    saturation = (operation == SATURATION).to(images.dtype)[:, None, None, None]
    contrast = (operation == CONTRAST).to(images.dtype)[:, None, None, None]
    target = shade.mul_(saturation).add_(mean * contrast)
    images.mul_(factor).add_(target.mul_(1 - factor)).clamp_(0, 1)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of every image: hue + shift modulo 1 in HSV, value and saturation kept.

    A colour of hue h (in sixths of a turn, 0 <= h < 6), value v and chroma c has channels v - c (1 - w) with
    w = clamp(|h - 3| - 1, 0, 1) for red, clamp(2 - |h - 2|, 0, 1) for green, clamp(2 - |h - 4|, 0, 1) for blue.

    Args:
        images: float (B, 3, H, W).
        shift: (B,), in [-0.5, 0.5].

    Returns:
        Shape of ``images``.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> adjust_hue(red, torch.tensor([1 / 3])).flatten().round(decimals=4)  # green
        tensor([0., 1., 0.])

    Source: torchvision's ``adjust_hue``; the closed form of HSV to RGB is standard.
    """
    red, green, blue = images.unbind(dim=1)
    low, value = images.amin(dim=1), images.amax(dim=1)
    chroma = value - low
    inverse = chroma.clamp(min=1e-12).reciprocal_()
    sector = torch.where(
        value == red,
        (green - blue) * inverse,
        torch.where(value == green, (blue - red) * inverse + 2, (red - green) * inverse + 4),
    )
    hue = sector.add_(6 * shift[:, None, None]).remainder_(6)
    out = torch.empty_like(images)
    out[:, 0] = (hue - 3).abs_().neg_().add_(2)  # 1 - w before clamping
    out[:, 1] = (hue - 2).abs_().sub_(1)
    out[:, 2] = hue.sub_(4).abs_().sub_(1)
    out.clamp_(0, 1).mul_(chroma[:, None])
    return torch.sub(value[:, None], out, out=out).clamp_(0, 1)


def gaussian_blur(images: Tensor, sigma: Tensor, *, kernel: int) -> Tensor:
    """Gaussian blur of every image with its own width; borders are reflected.

    Args:
        images: float (B, C, H, W).
        sigma: standard deviation in pixels, (B,), > 0.
        kernel: number of taps per axis, odd, at most twice the image's smaller side minus one.

    Returns:
        Shape of ``images``.

    Raises:
        ValueError: an even kernel, or one too wide for the image.

    Example:
        >>> gaussian_blur(torch.ones(1, 1, 3, 3), torch.tensor([1.0]), kernel=3).mean().round(decimals=5)
        tensor(1.)

    Source: torchvision's ``gaussian_blur``.
    """
    batch, channels, height, width = images.shape
    if kernel % 2 != 1 or kernel < 1 or kernel > 2 * min(height, width) - 1:
        raise ValueError(
            f"kernel must be odd and between 1 and {2 * min(height, width) - 1} for {height} x {width} images, "
            f"got {kernel}"
        )
    taps = torch.arange(kernel, device=images.device, dtype=images.dtype) - kernel // 2
    weights = torch.softmax(-0.5 * (taps / sigma[:, None]) ** 2, dim=1)  # (B, kernel)
    rows, columns = (_reflected(weights, length) for length in (height, width))
    wide = torch.bmm(images.reshape(batch, channels * height, width), columns.transpose(1, 2))
    wide = wide.view(batch, channels, height, width)
    out = torch.empty_like(wide)
    for channel in range(channels):
        out[:, channel] = torch.bmm(rows, wide[:, channel])
    return out


def _reflected(weights: Tensor, length: int) -> Tensor:
    """Taps of every image (B, kernel) as matrices (B, length, length) that mirror at the border pixels."""
    kernel = weights.shape[1]
    place = torch.arange(length, device=weights.device)[:, None]
    source = place + torch.arange(kernel, device=weights.device) - kernel // 2
    source = source.abs()
    source = torch.where(source >= length, 2 * (length - 1) - source, source)  # (length, kernel)
    matrix = weights.new_zeros(len(weights), length, length)
    index = source.expand(len(weights), -1, -1)
    return matrix.scatter_add_(2, index, weights[:, None].expand(-1, length, -1))


def solarize(images: Tensor, threshold: float) -> Tensor:
    """Invert every value at or above the threshold.

    Example:
        >>> solarize(torch.tensor([0.25, 0.75]), 0.5)
        tensor([0.2500, 0.2500])

    Source: torchvision's ``solarize``.
    """
    return torch.where(images >= threshold, 1 - images, images)
