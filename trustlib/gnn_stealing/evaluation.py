"""How good a stolen model is: does it know the classes, and does it say what the target says?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import check_labels, one_of
from trustlib.gnn_stealing.outputs import target_labels
from trustlib.gnn_stealing.resampling import bootstrap_means, connected_components, percentile_ends
from trustlib.gnn_stealing.splits import as_data

if TYPE_CHECKING:
    import pandas as pd

Predictor = Callable[[Any], Tensor] | nn.Module | Tensor
Interval = Literal["components", "nodes"]


@dataclass(frozen=True)
class StealingReport:
    """Accuracy and fidelity of a stolen model, as shares of the test nodes in [0, 1].

    Args:
        n: test nodes.
        accuracy: says the true class.
        fidelity: says the target's class.
        target_accuracy: the target says the true class.
        fidelity_on_correct: fidelity where the target is right; NaN if it never is.
        fidelity_on_errors: fidelity where the target is wrong: agreement that knowing the classes does not explain.
            NaN if it never is.
        chance_agreement: fidelity of two models with the same class frequencies and nothing else in common.
        kappa: (fidelity - chance_agreement) / (1 - chance_agreement), Cohen's kappa; NaN where chance explains all.
        ci: interval of the fidelity.
        accuracy_ci: interval of the accuracy.
        interval: "components" or "nodes": what was drawn with replacement.
        clusters: how many of them there are.
        largest_cluster: share of the test nodes in the largest one. Near 1, an interval over components rests on very
            few independent units: use several splits.
    """

    n: int
    accuracy: float
    fidelity: float
    target_accuracy: float
    fidelity_on_correct: float
    fidelity_on_errors: float
    chance_agreement: float
    kappa: float
    ci: tuple[float, float]
    accuracy_ci: tuple[float, float]
    interval: Interval
    clusters: int
    largest_cluster: float

    def to_frame(self) -> pd.DataFrame:
        """One row, intervals as two columns each."""
        import pandas as pd

        row = asdict(self)
        for name in ("ci", "accuracy_ci"):
            row[f"{name}_low"], row[f"{name}_high"] = row.pop(name)
        return pd.DataFrame([row])


def evaluate_stealing(
    predict: Predictor,
    target_predict: Predictor,
    data: Any,
    *,
    interval: Interval = "components",
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> StealingReport:
    """Compare a stolen model with its target and with the truth, by the value of the class.

    accuracy = mean 1[s(v) = y_v], fidelity = mean 1[s(v) = t(v)], chance_agreement = sum_c P(s = c) P(t = c).

    Args:
        predict: the stolen model: a function from the graph to classes (n,), a module with logits, or the classes.
        target_predict: the target, likewise.
        data: the test graph with x, edge_index and true classes y.
        interval: percentile bootstrap over "components", connected parts of the graph, because neighbours share errors;
            or over "nodes", which is too narrow where they do.
        confidence: of both intervals, in (0, 1).
        n_boot: replicates, >= 1.
        seed: of the replicates.

    Returns:
        The report.

    Raises:
        TypeError, ValueError: no graph or one class only, predictions that are not one whole number per node, or a
            number outside its range.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> y, edge_index = torch.tensor([0, 0, 1, 1]), torch.tensor([[0], [1]])
        >>> data = SimpleNamespace(x=torch.zeros(4, 1), edge_index=edge_index, y=y)
        >>> report = evaluate_stealing(torch.tensor([0, 1, 1, 1]), torch.tensor([0, 1, 1, 0]), data)
        >>> report.accuracy, report.fidelity, report.target_accuracy
        (0.75, 0.75, 0.5)
        >>> report.fidelity_on_correct, report.fidelity_on_errors, report.chance_agreement, report.kappa
        (1.0, 0.5, 0.5, 0.5)

    Source: Podhajski et al. (ECAI 2024) for accuracy and fidelity. Deviation: their code compares columns of two
        classifiers, which differ where the query set lacks a class; here classes are compared.
    """
    one_of("interval", interval, ("components", "nodes"))
    data = as_data(data)
    truth = check_labels(data).cpu().numpy()
    stolen = predicted_classes(predict, data, "predict")
    target = predicted_classes(target_predict, data, "target_predict")
    group = (
        connected_components(data.edge_index, len(truth))
        if interval == "components"
        else np.arange(len(truth))
    )
    agree, right, known = stolen == target, stolen == truth, target == truth
    draws = bootstrap_means(np.stack([agree, right]), group, n_boot=n_boot, seed=seed)
    low, high = percentile_ends(draws, confidence)
    chance = _chance(stolen, target)
    fidelity = float(agree.mean())
    return StealingReport(
        n=len(truth),
        accuracy=float(right.mean()),
        fidelity=fidelity,
        target_accuracy=float(known.mean()),
        fidelity_on_correct=float(agree[known].mean()) if known.any() else float("nan"),
        fidelity_on_errors=float(agree[~known].mean()) if not known.all() else float("nan"),
        chance_agreement=chance,
        kappa=(fidelity - chance) / (1 - chance) if chance < 1 else float("nan"),
        ci=(float(low[0]), float(high[0])),
        accuracy_ci=(float(low[1]), float(high[1])),
        interval=interval,
        clusters=int(group.max()) + 1,
        largest_cluster=float(np.bincount(group).max() / len(truth)),
    )


def predicted_classes(predict: Predictor, data: Any, name: str) -> NDArray[np.int64]:
    """Classes (n,) of a function, a module or a tensor; or an error that names the argument."""
    if isinstance(predict, Tensor):
        classes = predict
    else:
        classes = target_labels(predict, data) if isinstance(predict, nn.Module) else predict(data)
    n = data.x.shape[0]
    if not isinstance(classes, Tensor) or classes.shape != (n,) or classes.is_floating_point():
        came = (
            f"{classes.dtype} {tuple(classes.shape)}"
            if isinstance(classes, Tensor)
            else type(classes).__name__
        )
        raise ValueError(
            f"{name} must give one whole number for each of the {n} nodes, got {came}. Take argmax of logits."
        )
    return classes.cpu().numpy().astype(np.int64)


def _chance(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Probability that two independent draws with these class frequencies agree."""
    count = int(max(a.max(), b.max())) + 1
    return float(np.bincount(a, minlength=count) @ np.bincount(b, minlength=count) / len(a) ** 2)
