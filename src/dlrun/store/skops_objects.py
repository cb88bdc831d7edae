"""scikit-learn objects from a run folder: read by skops, and only if every type in them is on a list."""

from __future__ import annotations

from typing import Any

from dlrun.errors import Mistake, one_line

# What skops does not trust by itself and dlrun's own runs hold: data without behaviour, of compiled classes.
TRUSTED = (
    "numpy.dtype",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)


def dumps(fitted: object) -> bytes:
    """Return a fitted object, or several by name, as skops writes it: no pickle."""
    import skops.io

    return skops.io.dumps(fitted)


def loads(content: bytes, where: str) -> Any:
    """Return the object in `content`, as skops wrote it; nothing in it is run before its types have been looked at.

    Raises:
        Mistake: it is damaged, or holds a type that is not trusted; names the file, `where`.
    """
    import skops.io

    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED))
        if foreign:
            raise Mistake(f"{where}: holds {foreign[0]}, which is not among the types that dlrun loads")
        return skops.io.loads(content, trusted=list(TRUSTED))
    except Mistake:
        raise
    except Exception as error:  # skops raises whatever a broken archive or an unknown type leads to; all mean the same
        raise Mistake(f"{where}: cannot be loaded ({type(error).__name__}: {one_line(error)})") from error
