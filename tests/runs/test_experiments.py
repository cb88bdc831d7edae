"""The courses' experiments: the exact figures hold to the digits given, and a handful of others come out."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import DATA

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
import reproduce  # noqa: E402 (a script, beside which its catalogue lies)

CATALOGUE = yaml.safe_load((SCRIPTS / "catalogue.yaml").read_text(encoding="utf-8"))
LONG = ("mlbd/quadratic_learning_curve", "mlbd/line_batch_gd", "aml/mnist_five", "ztdl/sms_bow", "ztdl/sms_features",
        "ztdl/pima_mlp", "ztdl/reviews_tfidf")  # fmt: skip
EXACT = [name for name, row in CATALOGUE.items() if any("within" in f for f in row["figures"]) and name not in LONG]
QUICK = ["ztdl/visits_logistic", "ztdl/moons_logistic", "ztdl/banknotes_lr", "dsapps/logistic"]
PARAMETERS = list({row["parameters"]: name for name, row in CATALOGUE.items() if "parameters" in row}.values())
NOT_AT_HAND = ("no connection", "cannot be downloaded", "data.path is needed")

needs_data = pytest.mark.skipif(not (DATA / "banknotes.csv").is_file(), reason="the courses' data are not at hand")


def test_the_catalogue_names_every_experiment_and_no_other():
    reproduce.check_complete(CATALOGUE)


@needs_data
@pytest.mark.parametrize("name", PARAMETERS)
def test_the_parameters_are_as_many_as_the_course_prints(dlrun, monkeypatch, name):
    monkeypatch.setenv("no_proxy", "*")
    shown = dlrun(f"experiment={name}", "dry_run=true", "sweep=null", "repeats=1")
    if shown.exit_code == 2 and any(why in shown.err for why in NOT_AT_HAND):
        pytest.skip("its data are not at hand")
    assert f"{CATALOGUE[name]['parameters']:,} parameters" in shown.out, shown.err


@needs_data
@pytest.mark.parametrize("name", EXACT)
def test_exact_figures_hold_to_the_digits_given(dlrun, name):
    ended = dlrun(f"experiment={name}", "plots=[]")
    assert ended.exit_code == 0, ended.err
    check(name, whole_of(ended), exact=True)


@needs_data
@pytest.mark.parametrize("name", QUICK)
def test_quick_rows_come_out_as_the_course_prints(dlrun, name):
    check(name, whole_of(dlrun(f"experiment={name}", "plots=[]")), exact=False)


def whole_of(ended) -> Path:
    """The folder of the whole experiment, whether it has parts or not."""
    return min((file.parent for file in ended.outputs.rglob("metrics.json")), key=lambda folder: len(folder.parts))


def check(name: str, folder: Path, exact: bool) -> None:
    for target in CATALOGUE[name]["figures"]:
        if ("within" in target) == exact and target.keys() & {"course", "recomputed", "band"}:
            found = reproduce.figure(folder, target["figure"])
            assert reproduce.judge_one(target, found, None).startswith("met"), (target, found)


def test_softmax_with_two_outputs_says_what_logistic_regression_says(dlrun):
    logistic = dlrun("experiment=dsapps/logistic", into="logistic").predictions
    softmax = dlrun("experiment=dsapps/softmax", into="softmax").predictions
    assert softmax["probability_1"].to_numpy() == pytest.approx(logistic["probability_1"].to_numpy(), abs=0.03)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ridge_and_lasso_are_scikit_learns(dlrun):
    from sklearn.linear_model import Lasso, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    import dlrun as package

    draw = np.random.RandomState(42)
    x = 3 * draw.rand(20, 1)
    y = (1 + 0.5 * x + draw.randn(20, 1) / 1.5)[:, 0]
    powers = make_pipeline(PolynomialFeatures(10, include_bias=False), StandardScaler()).fit_transform(x)
    expected = {
        "ridge": [Ridge(10).fit(x, y).predict(x), Ridge(100).fit(x, y).predict(x),
                  Ridge(1e-5, solver="svd").fit(powers, y).predict(powers), Ridge(1).fit(powers, y).predict(powers)],
        "lasso": [Lasso(0.1).fit(x, y).predict(x), Lasso(1.0).fit(x, y).predict(x),
                  Lasso(1e-7, max_iter=1_000_000).fit(powers, y).predict(powers),  # which has not converged yet
                  Lasso(1.0).fit(powers, y).predict(powers)],
    }  # fmt: skip
    for name, parts in (("ridge", (1, 2, 4, 5)), ("lasso", (1, 2, 4, 5))):
        folder = whole_of(dlrun(f"experiment=mlbd/{name}", "plots=[]", into=name))
        for part, wanted in zip(parts, expected[name], strict=True):
            said = package.load(str(folder / str(part))).predict(pd.DataFrame({"x": x[:, 0]}))
            assert said["prediction"].to_numpy() == pytest.approx(wanted, abs=1e-3), (name, part)


@needs_data
def test_validating_on_the_test_rows_is_said(dlrun):
    ended = dlrun("experiment=ztdl/wines_early_stopping", "trainer.epochs=1")
    assert "the test rows are the validation rows too" in ended.out
    assert ended.metrics["valid"]["loss"] == ended.metrics["test"]["loss"]


PAGES = sorted((SCRIPTS.parent / "docs").glob("*.md"))
COMMANDS = sorted({
    line
    for page in PAGES
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("dlrun experiment=")
})  # fmt: skip


def test_the_experiments_that_the_pages_show_compose(dlrun):
    assert len(COMMANDS) > 20
    for line in COMMANDS:
        assert dlrun("--cfg", "job", *shlex.split(line)[1:]).exit_code == 0, line


def test_the_pictures_that_the_pages_show_are_there():
    for page in PAGES:
        for picture in re.findall(r"\]\((pictures/.+?)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / picture).is_file(), (page.name, picture)
