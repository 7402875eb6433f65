"""The widgets that show one of many pictures. Their links run in the browser, so that they need no kernel."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import ipywidgets as widgets

if TYPE_CHECKING:
    from trustlib.plotting.limits import Limits
    from trustlib.plotting.sliders import Frame, Slider, View

_CLASS = "trustlib-frames"
# The style travels inside the widget, because a notebook has no style sheet of its own. Texts take the colour of the
# page they stand in: the theme of the book, of JupyterLab, or none. In the dark scheme the book's theme would put a
# light panel under every widget, and a second one under every picture.
_CSS = f"""<style>
.{_CLASS} {{
  --jp-widgets-label-color: var(--pst-color-text-base, var(--jp-ui-font-color1, inherit));
  --jp-widgets-readout-color: var(--pst-color-text-base, var(--jp-ui-font-color1, inherit));
  overflow: visible; max-width: 100%;
}}
.{_CLASS} .widget-readout {{ min-width: 5em; text-align: left; }}
.{_CLASS} .noUi-handle:focus-visible {{ outline: 3px solid #de8f05; outline-offset: 2px; }}
.{_CLASS} img {{ display: block; max-width: 100%; height: auto; background: #fff; }}
html[data-theme=dark] .bd-content div.cell_output .widget-subarea:has(.{_CLASS}) {{ background: none; padding: 0; }}
html[data-theme=dark] .bd-content div.cell_output .{_CLASS} img {{ background: #fff; }}
</style>"""


class FrameBox(widgets.VBox):
    """Sliders above a picture.

    Every slider is linked, in the browser, to all stacks of its level. A stack shows one of its children; the
    children of the innermost stacks are the pictures.

    Args:
        view: what is shown; a box of the same name that exists is closed.
        frames: one picture per combination, the last slider varying fastest.
    """

    def __init__(self, view: View, frames: list[Frame]) -> None:
        if (old := _BOXES.pop(view.name, None)) is not None:
            old.dispose()
        self.controls = _controls(list(view.sliders.values()))
        self.links: list[widgets.Widget] = []
        self.weight = sum(frame.picture.weight for frame in frames)
        style = widgets.HTML(_CSS, layout=widgets.Layout(display="none"))
        self._shared = {
            "layout": widgets.Layout(),
            "style": style.style,
        }  # one for all pictures, to keep pages light
        self.stack = self._stack(iter(frames))
        super().__init__([style, *self.controls, self.stack])
        self.add_class(_CLASS)
        _BOXES[view.name] = self

    def _stack(self, frames: Iterator[Frame], level: int = 0) -> widgets.Widget:
        """The stack of one level; below the last level lie the pictures."""
        if level == len(self.controls):
            return widgets.HTML(image_tag(next(frames)), **self._shared)
        control = self.controls[level]
        children = [self._stack(frames, level + 1) for _ in control.options]
        stack = widgets.Stack(children, selected_index=control.index, layout=self._shared["layout"])
        # a SelectionSlider keeps its position in "index": the same number in the browser and in the kernel
        self.links.append(widgets.jsdlink((control, "index"), (stack, "selected_index")))
        return stack

    def dispose(self) -> None:
        """Close everything that belongs to the box, so that it leaves the state of the page."""
        for link in self.links:
            link.close()
        _close(self)


# What this process has put into its page, by name: a page that gets too heavy is refused, and a cell that runs again
# replaces its own view. Boxes that nobody holds any more vanish by themselves.
_BOXES: WeakValueDictionary[str, FrameBox] = WeakValueDictionary()


def weight_of_others(name: str) -> int:
    """Bytes of all views in this page except the one with this name."""
    return sum(box.weight for key, box in _BOXES.items() if key != name)


def image_tag(frame: Frame) -> str:
    """A picture as HTML; it has its size before it is decoded, so that nothing jumps."""
    picture = frame.picture
    return (
        f'<img src="{picture.uri()}" alt="{html.escape(frame.alt)}" '
        f'width="{picture.width}" height="{picture.height}" decoding="sync">'
    )


def _controls(sliders: list[Slider]) -> list[widgets.SelectionSlider]:
    """The slider widgets, their labels equally wide, with the value written beside each."""
    width = f"{max(len(slider.label) for slider in sliders) * 0.55 + 1:.0f}em"
    return [
        widgets.SelectionSlider(
            options=[(text, place) for place, text in enumerate(slider.options)],
            index=slider.first,
            description=slider.label,
            style={"description_width": width},
            layout={"width": "min(100%, 40em)"},
        )
        for slider in sliders
    ]


def _close(widget: widgets.Widget) -> None:
    """Close a widget, what lies in it, and how it looks."""
    for child in getattr(widget, "children", ()):
        _close(child)
    for part in ("layout", "style"):
        if isinstance(look := getattr(widget, part, None), widgets.Widget):
            look.close()
    widget.close()


def open_number_fields(box: FrameBox, view: View, limits: Limits | None) -> None:
    """Let a kernel draw numbers that were not drawn ahead.

    Only a kernel hears that a slider moved: the fields appear with the first move, and a static page never shows
    controls that cannot work.
    """
    fields = {key: _field(slider) for key, slider in view.sliders.items() if slider.numeric}
    shown = widgets.HTML()

    def draw(_: Any) -> None:
        at = {
            key: fields[key].value if key in fields else slider.values[control.index]
            for (key, slider), control in zip(view.sliders.items(), box.controls, strict=True)
        }
        shown.value = image_tag(view.frame(view.figure(at), at, limits))

    def open_once(_: Any) -> None:
        for control in box.controls:
            control.unobserve(open_once, "index")
        title = widgets.HTML("<b>Any number in between</b>, drawn by the kernel:")
        box.children = [*box.children, title, *fields.values(), shown]

    for field in fields.values():
        field.observe(draw, "value")
    for control in box.controls:
        control.observe(open_once, "index")


def _field(slider: Slider) -> widgets.Widget:
    """A field for numbers between the smallest and the largest value of a slider."""
    whole = all(isinstance(value, int) for value in slider.values)
    return (widgets.BoundedIntText if whole else widgets.BoundedFloatText)(
        value=slider.values[slider.first],
        min=min(slider.values),
        max=max(slider.values),
        description=slider.label,
        style={"description_width": "initial"},
    )
