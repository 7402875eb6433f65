"""Which layers of a vision transformer to read: branches and residual sums, and what each adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from trustlib.encoders.tapping import INPUT_OF

if TYPE_CHECKING:
    import pandas as pd

    from trustlib.memorization.layermem import LayerMem


@dataclass(frozen=True)
class VitBlock:
    """The four layers of one transformer block, by dotted name, in order of execution.

    ``attention`` branch, ``attention_sum`` = its input + attention, ``fc`` branch, ``fc_sum`` =
    attention_sum + fc, the output of the block.
    """

    attention: str
    attention_sum: str
    fc: str
    fc_sum: str

    @property
    def layers(self) -> tuple[str, str, str, str]:
        """All four."""
        return self.attention, self.attention_sum, self.fc, self.fc_sum


# names inside a block: attention branch, the norm that the attention sum enters, fully-connected branch
_BLOCK_PARTS = (("attn", "norm2", "mlp"), ("self_attention", "ln_2", "mlp"))


def vit_blocks(model: nn.Module) -> list[VitBlock]:
    """Branches and residual sums of every block of a vision transformer (timm or torchvision naming).

    The residual sum after attention has no module of its own; it is read as the input of the second norm.
    A branch with layer scale is read behind the scale, as it enters the sum.

    Args:
        model: a transformer with blocks of ``attn``, ``norm2``, ``mlp`` or of ``self_attention``, ``ln_2``,
            ``mlp``, normalised before the branches.

    Returns:
        Blocks in order.

    Raises:
        ValueError: no such blocks.

    Example:
        >>> import timm
        >>> model = timm.create_model("vit_tiny_patch16_224", depth=2)
        >>> vit_blocks(model)[0].layers
        ('blocks.0.attn', 'input:blocks.0.norm2', 'blocks.0.mlp', 'blocks.0')

    Source: Wang et al., NeurIPS 2024, table 10.
    """
    blocks = []
    for name, module in model.named_modules():
        children = dict(module.named_children())
        for attention, norm, fc in _BLOCK_PARTS:
            if {attention, norm, fc} <= set(children):
                first, second = _scaled(children, "ls1", attention), _scaled(children, "ls2", fc)
                blocks.append(
                    VitBlock(f"{name}.{first}", f"{INPUT_OF}{name}.{norm}", f"{name}.{second}", name)
                )
    if not blocks:
        raise ValueError(
            f"{type(model).__name__} has no blocks of attn/norm2/mlp or self_attention/ln_2/mlp; name its "
            "branches and sums in layers= by hand"
        )
    return blocks


def _scaled(children: dict[str, nn.Module], scale: str, branch: str) -> str:
    """The layer scale of a branch if there is one, else the branch."""
    return branch if isinstance(children.get(scale, nn.Identity()), nn.Identity) else scale


def vit_deltas(table: LayerMem, blocks: Sequence[VitBlock]) -> pd.DataFrame:
    """What every branch adds to memorization, per block.

    delta_attention(N) = LM(attention N) - LM(fc_sum N-1);  delta_fc(N) = LM(fc N) - LM(attention_sum N);
    delta_block(N) = LM(fc_sum N) - LM(fc_sum N-1); the first and last are nan for the first block.

    Args:
        table: read at all layers of the blocks.
        blocks: of ``vit_blocks``.

    Returns:
        One row per block; with a control, LM is the excess.

    Raises:
        ValueError: a layer of a block is not in the table.

    Example:
        >>> from trustlib.memorization.layermem import LayerMem
        >>> blocks = [VitBlock("a", "s", "m", "b")]
        >>> table = LayerMem(("a", "s", "m", "b"), np.array([[[0.1], [0.2], [0.5], [0.4]]]), None)
        >>> float(vit_deltas(table, blocks)["delta_fc"][0].round(6))
        0.3

    Source: Wang et al., NeurIPS 2024, table 10.
    """
    import pandas as pd

    missing = [layer for block in blocks for layer in block.layers if layer not in table.layers]
    if missing:
        raise ValueError(f"the table lacks layers {missing}; read all layers of the blocks")
    values = table.layermem if table.control_scores is None else table.excess
    lm = dict(zip(table.layers, values.tolist(), strict=True))
    before = [np.nan, *[lm[block.fc_sum] for block in blocks[:-1]]]
    return pd.DataFrame(
        {
            "block": [block.fc_sum for block in blocks],
            "delta_attention": [lm[b.attention] - last for b, last in zip(blocks, before, strict=True)],
            "delta_fc": [lm[b.fc] - lm[b.attention_sum] for b in blocks],
            "delta_block": [lm[b.fc_sum] - last for b, last in zip(blocks, before, strict=True)],
        }
    )
