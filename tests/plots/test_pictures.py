"""The pictures of a run: which there are for what, and that they show the run's own figures."""

import numpy as np
import pandas as pd
import pytest
from conftest import DATA
from PIL import Image
from sklearn.metrics import roc_curve
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlrun.plots import sweeps, training
from dlrun.plots.classification import roc
from dlrun.plots.finished_run import FinishedRun
from dlrun.plots.mistakes import mistakes
from dlrun.plots.regression import fitted_curve
from dlrun.plots.training import learning_curves

needs_data = pytest.mark.skipif(
    not (DATA / "weight-height.csv").is_file(), reason="the courses' tables are not at hand"
)
CLASSES = {"learning_curves", "confusion_matrix", "roc", "precision_recall", "calibration", "mistakes"}
QUANTITIES = {"learning_curves", "residuals", "mistakes"}
KINDS = {
    "digits": (("trainer.epochs=2",), CLASSES | {"filters"}),
    "an estimator on images": (("model=sklearn/logistic", "data.limit=300"),
                               (CLASSES | {"filters"}) - {"learning_curves"}),
    "moons": (("data=moons", "model.hidden=[4,2]", "trainer.epochs=3", "initializer=keras", "scheduler=exponential"),
              CLASSES | {"thresholds", "decision_boundary", "hidden_features", "learning_rate"}),
    "one input": (("data=line", "model=linear", "trainer.epochs=3"), QUANTITIES | {"fitted_curve"}),
    "a table of quantities": (("data=diabetes", "model=linear", "trainer.epochs=3"), QUANTITIES | {"weights"}),
    "labels": (("data=labels",), CLASSES - {"confusion_matrix", "calibration", "mistakes"}),
    "a series": (("data=series",), {"learning_curves", "residuals", "forecast"}),
    "a text": (("data=text",), (CLASSES - {"calibration"}) | {"thresholds", "weights"}),
}  # fmt: skip
MADE = {
    "data=labels": ("a,b,u,v\n" + "".join(f"{i % 7},{i % 5},{int(i % 7 > 3)},{int(i % 5 > 2)}\n" for i in range(120)),
                    ["data=csv", "data.target=[u,v]", "model.hidden=[8]", "trainer.epochs=3"]),
    "data=series": ("t,y\n" + "".join(f"{i},{np.sin(i / 5):.4f}\n" for i in range(200)),
                    ["data=series", "data.target=y", "data.time=t", "data.lags=6", "model=gru", "model.hidden=[4]",
                     "trainer.epochs=2"]),
    "data=text": ("text,kind\n" + "".join(f"{('win', 'see you')[i % 3 > 1]} {i % 4},{i % 2}\n" for i in range(90)),
                  ["data=text", "data.text=text", "data.target=kind", "model=logistic", "trainer.epochs=2"]),
}  # fmt: skip


@pytest.mark.pictures
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_this_kind_has_these_pictures_and_nothing_in_them_is_cut_off(dlrun, tmp_path, kind):
    overrides, expected = KINDS[kind]
    if overrides[0] in MADE:
        text, settings = MADE[overrides[0]]
        (tmp_path / "made.csv").write_text(text)
        overrides = ["data.path=made.csv", *settings]
    ended = dlrun(*overrides)
    assert ended.exit_code == 0, ended.err
    files = sorted((ended.folder / "plots").glob("*.png"))
    assert {file.stem for file in files} == expected
    for file in files:
        pixels = np.asarray(Image.open(file).convert("L"))
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (border == 255).all() and (pixels < 128).mean() > 0.001, file


@pytest.fixture
def finished(dlrun, monkeypatch):
    """What the pictures of a run are drawn from."""

    def of(*overrides: str) -> FinishedRun:
        seen = []
        monkeypatch.setattr("dlrun.runs.conclude.draw", lambda _console, run, _pictures: seen.append(run))
        assert dlrun(*overrides).exit_code == 0
        return seen[0]

    return of


def labels_of(figure):
    return [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]


def test_the_roc_curve_is_scikit_learns_and_its_point_is_that_of_the_confusion_matrix(finished):
    run = finished("data=breast_cancer", "model=logistic", "trainer.epochs=2")
    axes = roc(run).axes[0]
    false, true, _ = roc_curve(run.predictions.truth, run.predictions.probability[:, 1])
    assert axes.lines[0].get_xydata() == pytest.approx(np.column_stack([false, true]))
    (tn, fp), (fn, tp) = run.figures["confusion_matrix"]
    assert axes.lines[1].get_xydata()[0] == pytest.approx([fp / (fp + tn), tp / (tp + fn)])
    assert f"{run.figures['roc_auc']:.4f}" in labels_of(roc(run))[0]


def test_learning_curves_mark_the_best_epoch_and_the_baseline(finished):
    run = finished("data=iris", "trainer.epochs=40", "optimizer.lr=0.05", "trainer.early_stopping.patience=3")
    best = run.metrics["best_epoch"]
    assert best < run.metrics["epochs"]
    figure = learning_curves(run)
    assert f"best epoch {best}" in labels_of(figure)
    loss = figure.axes[0]
    assert [float(line.get_ydata()[0]) for line in loss.lines if line.get_linestyle() == "--"] == [
        run.metrics["baseline"]["valid"]["loss"]
    ]
    assert loss.lines[1].get_ydata() == pytest.approx(run.history["valid/loss"])


@needs_data
def test_the_fitted_curve_of_a_line_is_that_line(finished):
    run = finished("data=weight_height", "data.limit=500", "model=linear", "solver=closed_form")
    axes = fitted_curve(run).axes[0]
    x, y = axes.lines[0].get_xydata().T
    slope, intercept = np.polyfit(run.data.train.raw["Height"], run.data.train.truth[:, 0], 1)
    assert y == pytest.approx(slope * x + intercept, rel=1e-6)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Height", "Weight")


def test_the_worst_mistakes_are_those_with_the_least_probability_of_the_truth(finished):
    run = finished("trainer.epochs=1", "data.limit=600")
    predictions = run.predictions
    wrong = np.flatnonzero(predictions.truth != predictions.prediction)
    worst = wrong[np.argmin(predictions.probability[wrong, predictions.truth[wrong]])]
    first = mistakes(run).axes[0]
    assert first.get_title().startswith(f"true {predictions.truth[worst]}\npredicted {predictions.prediction[worst]} (")
    assert np.asarray(first.images[0].get_array()) * 16 == pytest.approx(run.rows.stored()[worst, 0].numpy())


@pytest.mark.pictures
def test_pictures_are_chosen_by_name_and_those_that_cannot_be_are_named(dlrun):
    ended = dlrun("data=diabetes", "model=linear", "trainer.epochs=2", "plots=[residuals,roc]")
    assert [file.name for file in (ended.folder / "plots").iterdir()] == ["residuals.png"]
    assert "nothing to draw as roc for regression" in ended.out


@pytest.mark.pictures
def test_no_pictures_are_drawn_where_none_are_wanted(dlrun):
    assert not (dlrun("data=iris", "trainer.epochs=2", "plots=[]").folder / "plots").exists()


def test_a_picture_that_there_is_not_is_refused(dlrun):
    ended = dlrun("plots=[confusion]")
    assert ended.exit_code == 2 and "did you mean" in ended.err and not ended.outputs.exists()


@pytest.mark.pictures
def test_the_jobs_of_a_sweep_draw_what_is_named_and_plot_draws_the_rest_later(dlrun):
    dlrun("-m", "data=moons", "model=sklearn/svc", "model.C=1,10", "plots=[decision_boundary]")
    jobs = sorted(path.parent for path in dlrun("list", "runs").outputs.rglob("model.skops"))
    assert [[file.stem for file in (job / "plots").iterdir()] for job in jobs] == [["decision_boundary"]] * 2
    assert dlrun("plot", f"run={jobs[0]}", "plots=[roc]").exit_code == 0
    assert {file.stem for file in (jobs[0] / "plots").iterdir()} == {"decision_boundary", "roc"}


@pytest.mark.pictures
def test_tensorboard_has_the_pictures_too(dlrun):
    ended = dlrun("data=iris", "model=logistic", "trainer.epochs=2", "plots=[confusion_matrix,weights]")
    events = EventAccumulator(str(ended.folder))
    events.Reload()
    assert set(events.Tags()["images"]) == {"plots/confusion_matrix", "plots/weights"}


def test_importance_is_the_fall_of_the_score_when_a_column_is_shuffled(dlrun, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"signal": rng.normal(size=400), "noise": rng.normal(size=400)})
    frame.assign(y=3 * frame["signal"]).to_csv(tmp_path / "made.csv", index=False)
    dlrun("data=csv", "data.path=made.csv", "data.target=y", "model=linear", "solver=closed_form")
    ended = dlrun("eval", "importance=20", "output=figures.json")
    found = {
        row["column"]: row["importance"] for row in pd.read_json(tmp_path / "figures.json", typ="series")["importance"]
    }
    assert found["signal"] == pytest.approx(2.0, abs=0.25)  # R² of a shuffled copy is 1 − 2·variance / variance
    assert found["noise"] == pytest.approx(0.0, abs=1e-6)
    assert (ended.folder / "plots" / "importance.png").is_file()
    dlrun("trainer.epochs=1", "data.limit=200", into="images")
    assert "columns of tables" in dlrun("eval", "importance=2", into="images").err


def test_pictures_are_drawn_in_the_runs_own_precision(finished):
    run = finished("data=quadratic", "data.degree=90", "data.scale=standard", "model=linear", "solver=closed_form",
                   "data.split={test: null, valid: null}")  # fmt: skip
    again = run.fitted.predictions(run.data.train.raw).prediction
    assert again == pytest.approx(run.predictions_by_split["train"].prediction, abs=1e-12)


CELLS = ["?" if i == 9 else "" if i % 20 == 3 else i * 7 % 50 for i in range(120)]
NASTY = "in_$ / out_$,b,kind\n" + "".join(
    f"{cell},{i * 3 % 11},{'$5 & $10' if i * 7 % 50 > 24 else 'x_{2}'}\n" for i, cell in enumerate(CELLS)
)


@pytest.mark.pictures
@pytest.mark.parametrize(
    ("columns", "picture"), [("[]", "decision_boundary"), ("[b]", "fitted_curve")], ids=["two inputs", "one input"]
)
def test_dollars_words_and_missing_values_in_a_table_do_no_harm(dlrun, tmp_path, columns, picture):
    (tmp_path / "nasty.csv").write_text(NASTY)
    ended = dlrun("data=csv", "data.path=nasty.csv", "data.target=kind", f"data.drop={columns}", "trainer.epochs=2",
                  "data.columns={in_$ / out_$: numeric}", "model=logistic")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert (ended.folder / "plots" / f"{picture}.png").is_file() and (ended.folder / "plots" / "mistakes.png").is_file()


@pytest.mark.pictures
@pytest.mark.parametrize(
    "overrides",
    [("data=digits", "model=lstm", "trainer.epochs=1", "data.limit=200"),
     ("data=digits", "model=sklearn/svc", "model.kernel=linear", "data.limit=200"),
     ("data=iris", "model=sklearn/svc", "model.kernel=linear")],
)  # fmt: skip
def test_weights_that_belong_to_no_feature_or_class_are_not_drawn_as_if_they_did(dlrun, overrides):
    drawn = {file.stem for file in (dlrun(*overrides).folder / "plots").iterdir()}
    assert "roc" in drawn and not drawn & {"filters", "weights"}


@pytest.mark.pictures
def test_one_label_alone_is_drawn(dlrun, tmp_path):
    (tmp_path / "made.csv").write_text("a,u\n" + "".join(f"{i % 7},{int(i % 7 > 3)}\n" for i in range(80)))
    ended = dlrun("data=csv", "data.path=made.csv", "data.target=u", "data.task=multilabel", "trainer.epochs=2")
    assert ended.exit_code == 0 and (ended.folder / "plots" / "roc.png").is_file()


def test_a_run_without_figures_has_nothing_to_plot(dlrun):
    dlrun("data=line", "model=linear", "optimizer=sgd", "optimizer.lr=1e3", "trainer.epochs=9")
    assert "no figures to draw" in dlrun("plot").err


def test_a_logarithmic_axis_has_plain_numbers(finished):
    run = finished("data=iris", "trainer.epochs=3", "scheduler=exponential")
    run.history["train/loss"], run.history["lr"] = [2.0, 0.3, 0.02], [0.1, 0.01, 1e-5]
    swept = sweeps.draw_swept_line([1e-4, 1e-2, 1.0], [0.1, 0.2, 0.3], [0.0, 0.0, 0.0], "optimizer.lr", "valid/loss")
    for figure in (learning_curves(run), training.learning_rate(run), swept):
        figure.draw_without_rendering()
        axes = figure.axes[0]
        numbers = [text.get_text() for axis in (axes.xaxis, axes.yaxis) for text in axis.get_ticklabels(which="both")]
        assert any(numbers) and not [number for number in numbers if "$" in number], numbers
        assert "log" in (axes.get_xscale(), axes.get_yscale())
