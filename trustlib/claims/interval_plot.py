"""A small picture: interval and controls of one part against the border of its rule."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trustlib.claims.intervals import Interval
    from trustlib.claims.verdicts import PartResult

PLOT, RIGHT, ROW = 320, 12, 18


def plot_svg(result: PartResult) -> str:
    """The interval, those of the controls, the rule's region and the authors' value as inline SVG.

    Args:
        result: one part of a claim.

    Returns:
        SVG in the text colour of the page (filled dot: the claim; open dots: controls; shaded: where the
        whole interval must lie; triangle: the authors' value). Logarithmic where all is positive and spans a
        factor of 20 or more, which the axis says.
    """
    rows = [(result.part.name, result.interval), *((c.control.name, c.interval) for c in result.controls)]
    left = 16 + 6.5 * max(len(name) for name, _ in rows)
    width = left + PLOT + RIGHT
    place, scale = _axis(result, [i for _, i in rows], left)
    height = ROW * len(rows) + 18
    body = [_region(result, place, left, height - 16)]
    body += [_row(k, name, found, place) for k, (name, found) in enumerate(rows)]
    if result.part.reported is not None:
        x = place(result.part.reported)
        body.append(f'<path d="M{x:.1f} 8l4 -7h-8z" fill="currentColor"><title>reported</title></path>')
    return (
        f'<svg viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}" role="img" '
        f'style="max-width:100%;display:block" font-family="sans-serif" font-size="11" '
        f'fill="currentColor" aria-label="{html.escape(_alt(result, scale))}">'
        + "".join(body)
        + (f'<text x="0" y="{height - 4}" opacity=".7">log scale</text>' if scale == "log" else "")
        + "</svg>"
    )


def _axis(result: PartResult, shown: list[Interval], left: float) -> tuple[Callable[[float], float], str]:
    """The map from value to horizontal position, and the kind of scale."""
    values = [v for i in shown for v in (i.low, i.estimate, i.high)] + list(result.part.rule.bounds)
    if result.part.reported is not None:
        values.append(result.part.reported)
    low, high = min(values), max(values)
    log = low > 0 and high / low >= 20
    turn = math.log10 if log else float
    start, stop = turn(low), turn(high)
    margin = 0.08 * (stop - start) or 0.5
    start, stop = start - margin, stop + margin

    def place(value: float) -> float:
        return left + (turn(value) - start) / (stop - start) * PLOT

    return place, "log" if log else "linear"


def _region(result: PartResult, place: Callable[[float], float], left: float, bottom: int) -> str:
    """Shading where the interval must lie, with dashed, labelled borders."""
    rule = result.part.rule
    first, last = place(rule.bounds[0]), place(rule.bounds[-1])
    stop = left + PLOT
    upper, lower = (first, stop), (left, first)
    match rule.kind:
        case "above" | "at_least":
            spans = [upper]
        case "below" | "at_most":
            spans = [lower]
        case "within":
            spans = [(first, last)]
        case "outside":
            spans = [lower, (last, stop)]
    parts = [
        f'<path d="M{a:.1f} 0H{b:.1f}V{bottom}H{a:.1f}z" fill="currentColor" opacity=".1"/>' for a, b in spans
    ]
    for k, border in enumerate(rule.bounds):
        x = place(border)
        near = len(rule.bounds) == 2 and last - first < 40
        anchor = ("end", "start")[k] if near else "middle"
        parts.append(
            f'<path d="M{x:.1f} 0V{bottom}" stroke="currentColor" stroke-dasharray="3 3"/>'
            f'<text x="{x:.1f}" y="{bottom + 12}" text-anchor="{anchor}">{border:g}</text>'
        )
    return "".join(parts)


def _row(k: int, name: str, found: Interval, place: Callable[[float], float]) -> str:
    """One interval with its name; the first row is the claim, the others are controls."""
    y = ROW * k + ROW // 2
    x, low, high = place(found.estimate), place(found.low), place(found.high)
    fill = "currentColor" if k == 0 else "none"
    return (
        f'<text x="0" y="{y + 4}">{html.escape(name)}</text>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="currentColor" stroke-width="2"/>'
        f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{fill}" stroke="currentColor" stroke-width="1.5"/>'
    )


def _alt(result: PartResult, scale: str) -> str:
    """The picture in a sentence."""
    found = result.interval
    text = (
        f"Interval plot, {scale} scale: {result.part.name} from {found.low:.4g} to {found.high:.4g}, "
        f"rule {result.part.rule.words()}"
    )
    controls = ", ".join(f"{c.control.name} at {c.interval.estimate:.4g}" for c in result.controls)
    return f"{text}; controls: {controls}." if controls else f"{text}."
