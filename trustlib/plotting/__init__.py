"""Figures and sliders of the book: one theme, enforced captions and alt text, views that work without a kernel."""

from trustlib.plotting.drawing import band, reference_line, small_multiples
from trustlib.plotting.figures import show
from trustlib.plotting.sliders import Slider, frames
from trustlib.plotting.theme import MethodStyle, method_styles, use_theme

__all__ = [
    "MethodStyle",  # how one method is drawn
    "Slider",  # one slider of a view
    "band",  # a line with a band
    "frames",  # pictures that follow sliders
    "method_styles",  # colour, marker and dash per method
    "reference_line",  # a named dashed line
    "show",  # a figure with caption and alt text
    "small_multiples",  # panels with shared axes
    "use_theme",  # the look of the book
]
