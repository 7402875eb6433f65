"""The example of the documentation runs as it stands there."""

from __future__ import annotations

import re

import pytest

PAGES = ("book/api/dppl.md", "README.md")


def example(text):
    """The block that uses this room, or an empty text."""
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    return next((block for block in blocks if "from trustlib.dppl" in block), "")


@pytest.mark.parametrize("page", PAGES)
def test_the_example_is_short_and_does_what_it_says(root, page):
    source = example((root / page).read_text())
    if not source and page == "README.md":
        pytest.skip("README.md shows no example of this room")
    assert 0 < len([line for line in source.splitlines() if line.strip()]) < 15
    names = {}
    exec(compile(source.replace("print(", "shown = ("), page, "exec"), names)
    accuracy, chosen, spent = names["shown"]
    # chance is .1; the best public sample of every class without noise reaches about .8, and a class needs all its
    # probability mass on wrong images to cost .1
    assert accuracy > 0.5
    assert chosen.shape == (10,)
    assert spent.epsilon == 2.0
    assert chosen.max() < 600  # public images only
