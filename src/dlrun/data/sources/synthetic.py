"""Data from a formula: what the courses draw by hand. (scikit-learn's generators are named in YAML directly.)"""

from __future__ import annotations

import numpy as np
import pandas as pd

from dlrun.data.preprocessing.table import TablePreprocessing
from dlrun.data.source import Source
from dlrun.errors import Mistake, choose

GATES = {
    "and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "nand": [1, 1, 1, 0], "nor": [1, 0, 0, 0], "xor": [0, 1, 1, 0],
    "xnor": [1, 0, 0, 1], "not": [1, 0],
}  # fmt: skip


def polynomial(
    n: int,
    low: float,
    high: float,
    coefficients: list[float],
    noise: float = 1.0,
    random_state: int = 42,
    first: int | None = None,
    degree: int | None = None,
    scale: str = "none",
) -> Source:
    """Return y = Σ coefficients[k]·xᵏ + noise·N(0, 1), at n points x drawn uniformly from [low, high).

    Drawn as the courses do, to the bit: `np.random.seed(random_state)`, then `(high − low)·rand(n, 1) + low`, then
    `randn(n, 1)`; the polynomial is added up from its highest power down.

    Args:
        first: keep only so many of the points, the first ones drawn; None: all.
        degree, scale: see TablePreprocessing (polynomial, scale).

    Raises:
        Mistake: no points, or no coefficients.
    """
    if first is not None and not 1 <= first <= n:
        raise Mistake(f"data.first is {first}: it must lie between 1 and data.n ({n}), or be null")
    if n < 1 or not coefficients:
        raise Mistake(f"data: {n} points and {len(coefficients)} coefficients; at least one of each is needed")
    generator = np.random.RandomState(random_state)
    x = (high - low) * generator.rand(n, 1) + low
    powers = [c * x**k if k else np.full_like(x, c) for k, c in enumerate(coefficients) if c]
    y = np.zeros_like(x)
    for power in reversed(powers):
        y = y + power
    if noise:
        y = y + generator.randn(n, 1) / (1 / noise)  # divided, as the courses do: it decides the last bit
    preprocessing = TablePreprocessing({"x": "numeric"}, scale=scale, polynomial=degree)
    x, y = x[:first, 0], y[:first, 0]
    return Source(pd.DataFrame({"x": x}), y, preprocessing, target_names=["y"])


def gaussian_logistic(n: int, coefficients: list[float], random_state: int = 0) -> Source:
    """Return X ~ N(0, 1) of shape (n, len(coefficients)), y ~ Bernoulli(σ(X·coefficients)), from NumPy's default
    generator.
    """
    generator = np.random.default_rng(random_state)
    x = generator.standard_normal((n, len(coefficients)))
    y = generator.random(n) < 1 / (1 + np.exp(-x @ np.asarray(coefficients)))
    frame = pd.DataFrame(x, columns=[f"x{i + 1}" for i in range(x.shape[1])])
    return Source(frame, y.astype(np.int64), TablePreprocessing(dict.fromkeys(frame.columns, "plain")))


def gate(gate: str) -> Source:
    """Return the truth table of a logic gate: two inputs (one for not), 0 or 1, in the order 00, 01, 10, 11.

    Raises:
        Mistake: there is no such gate.
    """
    outputs = choose(gate, GATES, "data.gate")
    inputs = [[a] for a in (0, 1)] if gate == "not" else [[a, b] for a in (0, 1) for b in (0, 1)]
    frame = pd.DataFrame(inputs, columns=["a", "b"][: len(inputs[0])]).astype(float)
    preprocessing = TablePreprocessing(dict.fromkeys(frame.columns, "plain"))
    return Source(frame, np.asarray(outputs), preprocessing, class_names=["0", "1"], target_names=[gate])
