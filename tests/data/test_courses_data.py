"""The courses' data, and what the data alone decide: exact figures that the courses print or a closed form gives."""

import numpy as np
import pytest
from conftest import DATA
from safetensors.numpy import load_file
from sklearn.linear_model import Lasso, Ridge

needs_data = pytest.mark.skipif(not (DATA / "banknotes.csv").is_file(), reason="the courses' tables are not at hand")
ALL_ROWS = ("data.split.test=null", "data.split.valid=null")
CLOSED_FORM = ("model=linear", "solver=closed_form", *ALL_ROWS)


def coefficients(ended):
    weights = load_file(ended.folder / "model.safetensors")
    return weights["output.weight"].ravel(), weights["output.bias"][0]


def predictions(ended):
    return ended.predictions.sort_values("row")["prediction"].to_numpy()


@needs_data
@pytest.mark.parametrize(
    ("data", "rows", "features"),
    [
        ("weight_height", 10_000, 1),
        ("visits", 100, 1),
        ("banknotes", 1372, 4),
        ("hr", 14_999, 20),
        ("pima", 768, 8),
        ("wifi", 2000, 7),
        ("housing", 47, 3),
        ("california_housing", 20_640, 8),
    ],
)
def test_a_published_table_has_its_rows_and_features(dlrun, data, rows, features):
    shown = dlrun(f"data={data}", "dry_run=true").out
    assert f"data {data}: {rows:,} rows" in shown and f"inputs {features}," in shown


@needs_data
@pytest.mark.parametrize(("data", "share"), [("banknotes", 0.5553935860058309), ("hr", 0.761917)])
def test_majority_shares_are_those_of_the_course(dlrun, data, share):
    ended = dlrun(f"data={data}", "model=logistic", "trainer.epochs=0", *ALL_ROWS)
    assert ended.metrics["baseline"]["train_eval"]["accuracy"] == pytest.approx(share, abs=5e-7)


def test_a_polynomial_of_degree_300_is_computed_and_scaled_in_float64(dlrun):
    ended = dlrun("data=quadratic", "data.degree=300", "data.scale=standard", *CLOSED_FORM)
    assert ended.exit_code == 0 and np.isfinite(coefficients(ended)[0]).all()
    assert 0.8 < ended.metrics["train_eval"]["r2"] <= 1.0


GD_LINE = ("data=line", "data.n=100", "data.high=2", "data.coefficients=[4,3]", *ALL_ROWS)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp64", 1e-8)])
def test_batch_gradient_descent_arrives_at_least_squares(dlrun, precision, tolerance):
    ended = dlrun(*GD_LINE, "model=linear", "optimizer=sgd", "optimizer.lr=0.1", "trainer.epochs=1000",
                  "trainer.batch_size=100", f"precision={precision}", "quiet=true")  # fmt: skip
    (w,), b = coefficients(ended)
    assert (w, b) == pytest.approx((2.77011339, 4.21509616), abs=tolerance)


def test_a_rate_too_large_for_gradient_descent_is_seen_in_the_figures(dlrun):
    ended = dlrun(*GD_LINE, "model=linear", "optimizer=sgd", "optimizer.lr=0.5", "trainer.epochs=1000",
                  "trainer.batch_size=100", "precision=fp64", "quiet=true")  # fmt: skip
    assert ended.metrics["train_eval"]["mse"] > 1e20


SMALL = ("data=line", "data.n=20", "data.high=3", "data.coefficients=[1,0.5]", "data.noise=0.6666666666666666")


def small_line():
    generator = np.random.RandomState(42)
    x = 3 * generator.rand(20, 1)
    return x, (1 + 0.5 * x + generator.randn(20, 1) / 1.5)[:, 0]


@pytest.mark.parametrize("alpha", [10.0, 100.0])
def test_ridge_in_closed_form_is_scikit_learns(dlrun, alpha):
    x, y = small_line()
    ended = dlrun(*SMALL, *CLOSED_FORM, f"penalty.l2={alpha / 20}")
    assert predictions(ended) == pytest.approx(Ridge(alpha).fit(x, y).predict(x), abs=1e-9)


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_an_l1_penalty_by_proximal_steps_is_scikit_learns_lasso_with_true_zeros(dlrun, alpha):
    x, y = small_line()
    ended = dlrun(*SMALL, *ALL_ROWS, "model=linear", "optimizer=sgd", "optimizer.lr=0.1", "trainer.epochs=3000",
                  "trainer.batch_size=20", f"penalty.l1={2 * alpha}", "penalty.proximal=true", "precision=fp64",
                  "quiet=true")  # fmt: skip
    reference = Lasso(alpha).fit(x, y)
    assert predictions(ended) == pytest.approx(reference.predict(x), abs=1e-3)
    assert (coefficients(ended)[0] == 0).tolist() == (reference.coef_ == 0).tolist()


@needs_data
def test_the_maximum_likelihood_of_the_visits(dlrun):
    ended = dlrun("data=visits", "data.scale=none", "model=logistic", "solver=lbfgs", *ALL_ROWS)
    (w,), b = coefficients(ended)
    assert (w, b) == pytest.approx((2.4233, -4.4274), abs=5e-5)
    assert ended.metrics["train_eval"]["log_loss"] == pytest.approx(0.3745, abs=5e-5)


@needs_data
def test_least_squares_on_the_humans_in_pounds(dlrun):
    ended = dlrun("data=weight_height", "data.scale=none", "data.scale_target=false", *CLOSED_FORM)
    (w,), b = coefficients(ended)
    assert (w, b) == pytest.approx((7.717288, -350.737), abs=5e-4)
    assert ended.metrics["train_eval"]["r2"] == pytest.approx(0.855174, abs=5e-7)
    assert ended.metrics["train_eval"]["mse"] == pytest.approx(149.29, abs=5e-3)


@needs_data
def test_divisors_scale_the_columns_they_name_and_no_other(dlrun):
    ended = dlrun("data=housing", "data.scale={sqft: 1000, age: 10, price: 100000}", "data.scale_target=false",
                  *CLOSED_FORM)  # fmt: skip
    raw = dlrun("data=housing", "data.scale=none", "data.scale_target=false", *CLOSED_FORM, into="raw")
    factors = np.array([1000, 1, 10]) / 1e5
    assert coefficients(ended)[0] == pytest.approx(coefficients(raw)[0] * factors, rel=1e-6)
    assert ended.predictions["truth"].max() < 10


def test_logic_gates_are_their_truth_tables():
    from dlrun.data.sources.synthetic import gate

    assert gate("xnor").targets.tolist() == [1, 0, 0, 1] and gate("not").inputs.values.tolist() == [[0], [1]]
    for name, function in {"and": min, "or": max}.items():
        source = gate(name)
        assert source.targets.tolist() == [function(row) for row in source.inputs.values.tolist()]


def test_gaussian_logistic_draws_classes_with_the_probability_of_its_formula():
    from dlrun.data.sources.synthetic import gaussian_logistic

    source = gaussian_logistic(20_000, [1.0, 2.0])
    score = source.inputs.to_numpy() @ [1.0, 2.0]
    near = np.abs(score - 1) < 0.1
    assert source.targets[near].mean() == pytest.approx(1 / (1 + np.exp(-1)), abs=0.05)
