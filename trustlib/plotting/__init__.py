"""Figures and sliders of the book: one theme, enforced captions and alt text, views that work without a kernel."""

from trustlib.plotting.drawing import band, reference_line, sample_band, small_multiples
from trustlib.plotting.encoding import render
from trustlib.plotting.figures import show
from trustlib.plotting.limits import fix_limits
from trustlib.plotting.sliders import PAGE_BYTES, Slider, frames
from trustlib.plotting.theme import MethodStyle, method_styles, use_theme

__all__ = [
    "PAGE_BYTES",  # how much the pictures behind all sliders of one page may weigh
    "MethodStyle",  # how one method is drawn
    "Slider",  # one slider of a view
    "band",  # a line with a band
    "fix_limits",  # the same axes for several figures
    "frames",  # pictures that follow sliders
    "method_styles",  # colour, marker and dash per method
    "reference_line",  # a named dashed line
    "render",  # a figure as bytes, equal on every run
    "sample_band",  # repeated measurements as a line with their spread
    "show",  # a figure with caption and alt text
    "small_multiples",  # panels with shared axes
    "use_theme",  # the look of the book
]
