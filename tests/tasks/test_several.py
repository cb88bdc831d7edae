"""Several targets, each with a task of its own, learned by one network; and an auxiliary head."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import DATA, run_folders, trained_by_hand
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score, roc_auc_score
from torch import nn

from dlrun import load
from dlrun.errors import Mistake

TASKS = "data.target={infected: binary, score: regression, kind: multiclass}"
JOB = ("data=csv", "data.path=t.csv", TASKS, "trainer.epochs=3", "model.hidden=[12]")


def rows_of(seed: int, gaps: bool) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc"))
    frame["infected"] = np.where(frame["a"] + frame["b"] ** 2 + rng.normal(0, 0.3, 400) > 1, "yes", "no")
    frame["score"] = 3 * frame["c"] - frame["a"] + rng.normal(0, 0.1, 400)
    frame["kind"] = np.select([frame["a"] > 0.5, frame["b"] > 0], ["x", "y"], "z")
    if gaps:
        frame.loc[::5, "score"] = np.nan
        frame.loc[1::7, "infected"] = None
    return frame


@pytest.fixture
def table(tmp_path):
    whole = rows_of(0, gaps=False)
    whole.to_csv(tmp_path / "t.csv", index=False)
    rows_of(0, gaps=True).to_csv(tmp_path / "gaps.csv", index=False)
    return whole


def test_the_loss_is_the_weighted_sum_and_every_target_has_its_own_figures(dlrun, table):
    weights = {"infected": 0.8, "score": 0.2, "kind": 1.0}
    ended = dlrun(*JOB, "loss.weights={infected: 0.8, score: 0.2}", "data.scale_target=false")
    assert ended.exit_code == 0, ended.err
    for split in ("train_eval", "valid", "test"):
        figures = ended.metrics[split]
        total = sum(weight * figures[f"{name}/loss"] for name, weight in weights.items())
        assert figures["loss"] == pytest.approx(total, rel=1e-5)
    history = ended.history
    total = sum(weight * history[f"train/{name}/loss"] for name, weight in weights.items())
    assert history["train/loss"].to_numpy() == pytest.approx(total.to_numpy(), rel=1e-5)
    predicted, test = ended.predictions, ended.metrics["test"]
    rows = predicted[predicted["split"] == "test"]
    probability = rows["probability_infected_yes"].astype(float)
    assert test["infected/accuracy"] == accuracy_score(rows["truth_infected"], rows["prediction_infected"])
    assert test["infected/roc_auc"] == pytest.approx(roc_auc_score(rows["truth_infected"] == "yes", probability))
    kinds = rows[[f"probability_kind_{name}" for name in "xyz"]].astype(float)
    assert test["kind/log_loss"] == pytest.approx(log_loss(rows["truth_kind"], kinds, labels=list("xyz")))
    score, truth = rows["prediction_score"].astype(float), table["score"].to_numpy()[rows["row"]]
    assert test["score/mse"] == pytest.approx(mean_squared_error(truth, score))
    assert test["score/loss"] == pytest.approx(test["score/mse"], rel=1e-5)
    baseline = ended.metrics["baseline"]["test"]
    train = predicted[predicted["split"] == "train"]["row"]
    guess = np.full(len(rows), table["score"].to_numpy()[train].mean())
    assert baseline["score/mse"] == pytest.approx(mean_squared_error(truth, guess))
    most = table["kind"].iloc[train].mode()[0]
    assert baseline["kind/accuracy"] == pytest.approx((rows["truth_kind"] == most).mean())


def test_two_tasks_learn_as_a_network_with_two_heads_written_by_hand(dlrun, table):
    told = ("data=csv", "data.path=t.csv", "data.target={infected: binary, score: regression}", "optimizer=sgd",
            "optimizer.lr=0.1", "precision=fp64", "trainer.shuffle=false", "trainer.batch_size=40", "model.hidden=[6]",
            "loss.weights={infected: 0.8, score: 0.2}", "trainer.early_stopping=null",
            "data.scale_target=false", "data.drop=[kind]")  # fmt: skip
    dlrun(*told, "trainer.epochs=0", "output_dir=begun")
    ended = dlrun(*told, "trainer.epochs=3")
    assert ended.exit_code == 0, ended.err
    start = load(str(run_folders(Path("begun"))[0]), "cpu")
    weights = start.model.state_dict()
    body, first, second = nn.Linear(3, 6).double(), nn.Linear(6, 1).double(), nn.Linear(6, 1).double()
    body.load_state_dict({leaf: weights[f"layers.1.{leaf}"] for leaf in ("weight", "bias")})
    for i, head in enumerate((first, second)):
        head.load_state_dict({leaf: weights[f"layers.3.{leaf}"][i : i + 1] for leaf in ("weight", "bias")})
    rows = ended.predictions[ended.predictions["split"] == "train"]["row"].to_numpy()
    inputs = load(str(ended.folder), "cpu").preprocessing.apply(table.iloc[rows])
    classes = torch.from_numpy((table["infected"].to_numpy()[rows] == "yes").astype(float))[:, None]
    scores = torch.from_numpy(table["score"].to_numpy()[rows])[:, None]
    parameters = [p for module in (body, first, second) for p in module.parameters()]

    def loss_of(batch):
        hidden = torch.relu(body(inputs[batch]))
        loss = 0.8 * nn.functional.binary_cross_entropy_with_logits(first(hidden), classes[batch])
        return loss + 0.2 * nn.functional.mse_loss(second(hidden), scores[batch])

    losses = trained_by_hand(parameters, loss_of, len(rows), batch_size=40, lr=0.1, epochs=3)
    assert ended.history["train/loss"].to_numpy() == pytest.approx(losses, abs=1e-6)


def test_rows_that_lack_a_target_count_for_the_others(dlrun, table):
    ended = dlrun(*JOB, "data.path=gaps.csv")
    assert ended.exit_code == 0, ended.err
    assert "target 'infected': missing in 57 of 400 rows, which count for the others" in ended.out
    assert "target 'score': missing in 80 of 400 rows, which count for the others" in ended.out
    predicted = ended.predictions[ended.predictions["split"] == "test"]
    known = predicted[predicted["truth_score"] != ""]
    assert (predicted["truth_score"] == "").sum() == (predicted["row"] % 5 == 0).sum() > 0
    found = r2_score(known["truth_score"].astype(float), known["prediction_score"].astype(float))
    assert ended.metrics["test"]["score/r2"] == pytest.approx(found)
    named = predicted[predicted["truth_infected"] != ""]
    found = accuracy_score(named["truth_infected"], named["prediction_infected"])
    assert len(named) < len(predicted) and ended.metrics["test"]["infected/accuracy"] == found


def test_a_batch_in_which_no_row_has_a_target_moves_nothing_for_it(dlrun, table, tmp_path):
    sparse = rows_of(0, gaps=False)
    sparse.loc[sparse.index % 40 != 0, "score"] = np.nan
    sparse.to_csv(tmp_path / "sparse.csv", index=False)
    ended = dlrun(*JOB, "data.path=sparse.csv", "trainer.batch_size=2")
    assert ended.exit_code == 0 and ended.history.notna().all(axis=None), ended.err


@pytest.mark.parametrize("path", ["t.csv", "gaps.csv"])
def test_a_run_of_several_tasks_is_resumed_judged_and_predicted_with(dlrun, table, tmp_path, path):
    job = (*JOB, f"data.path={path}")
    whole = dlrun(*job)
    dlrun(*job, "trainer.epochs=1", "trainer.keep_checkpoints=true", "output_dir=parts")
    stopped = run_folders(Path("parts"))[0]
    assert dlrun(f"resume={stopped}", "trainer.epochs=3").exit_code == 0
    files = [(folder / "model.safetensors").read_bytes() for folder in (whole.folder, stopped)]
    assert files[0] == files[1]
    judged = dlrun("eval", f"run={whole.folder}", "output=figures.json")
    assert judged.exit_code == 0, judged.err
    assert json.loads((tmp_path / "figures.json").read_text())["test"] == whole.metrics["test"]
    others = dlrun("eval", f"run={whole.folder}", "data.path=gaps.csv")
    assert others.exit_code == 0, others.err
    told = dlrun("predict", f"run={whole.folder}", f"input={path}")
    assert told.exit_code == 0, told.err
    found = pd.read_csv(io.StringIO(told.out))
    rows = whole.predictions["row"].to_numpy()
    assert (found["prediction_kind"].to_numpy()[rows] == whole.predictions["prediction_kind"]).all()
    assert found["prediction_score"].to_numpy()[rows] == pytest.approx(
        whole.predictions["prediction_score"].astype(float).to_numpy(), rel=1e-6
    )
    again = load(str(whole.folder), "cpu")
    assert again.predict(table)["prediction_infected"].tolist() == found["prediction_infected"].tolist()
    for refused in (lambda: again.score(table, table[["score"]]), lambda: again.predict_proba(table)):
        with pytest.raises(Mistake, match="several targets"):
            refused()


@pytest.mark.pictures
def test_each_target_has_its_pictures_and_stopping_may_go_by_one(dlrun, table):
    ended = dlrun(*JOB, "trainer.early_stopping.monitor=valid/infected/roc_auc")
    assert ended.exit_code == 0 and "valid/infected/roc_auc" in ended.history.columns, ended.err
    drawn = {path.stem for path in (ended.folder / "plots").iterdir()}
    assert {"confusion_matrix_infected", "confusion_matrix_kind", "residuals_score", "roc_kind", "mistakes_score",
            "learning_curves"} <= drawn  # fmt: skip
    assert not {"residuals", "confusion_matrix", "residuals_kind"} & drawn


def test_folds_sweeps_compare_and_report_work_with_several_tasks(dlrun, table):
    ended = dlrun(*JOB, "cv.folds=2")
    assert ended.exit_code == 0 and "infected/accuracy" in ended.out, ended.err
    swept = dlrun("-m", *JOB, "model.hidden=[4],[8]")
    assert swept.exit_code == 0, swept.err
    shown = dlrun("compare", "outputs", "sort=valid/score/r2")
    assert shown.exit_code == 0 and "valid/score/r2" in shown.out, shown.err
    assert dlrun("report", str(ended.outputs)).exit_code == 0


def test_an_exported_network_has_an_output_for_each_target(dlrun, table, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    ended = dlrun(*JOB)
    assert dlrun("export", "run=latest", "format=onnx", "output=net.onnx").exit_code == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    assert [given.name for given in session.get_outputs()] == ["infected", "score", "kind"]
    fitted = load(str(ended.folder), "cpu")
    inputs = fitted.preprocessing.apply(table).float().numpy()
    infected = session.run(["infected"], {"inputs": inputs})[0][:, 0]
    assert 1 / (1 + np.exp(-infected)) == pytest.approx(fitted.predict(table)["probability_infected_yes"], abs=1e-4)


def test_flags_beside_quantities_are_said_to_be_learned_as_quantities(dlrun, table, tmp_path):
    table.assign(infected=(table["infected"] == "yes").astype(int)).to_csv(tmp_path / "flags.csv", index=False)
    ended = dlrun("data=csv", "data.path=flags.csv", "data.target=[infected,score]", "trainer.epochs=1",
                  "data.drop=[kind]")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    line = next(line for line in ended.out.splitlines() if "of 0 and 1 only" in line)
    hint = line.partition("own task: ")[2].strip("'")
    again = dlrun("data=csv", "data.path=flags.csv", hint, "trainer.epochs=1", "data.drop=[kind]")
    assert again.exit_code == 0 and "infected (2 classes) and score (regression)" in again.out, again.err


@pytest.mark.parametrize(
    "settings, line",
    [
        (["loss.weights={infectd: 0.5}"], "did you mean 'infected'"),
        (["loss.weights={infected: -1}"], "must be a number of at least 0"),
        (["loss.weights={infected: 0, score: 0, kind: 0}"], "all are 0"),
        (["loss.weights=3"], "weights by target belong here"),
        (["data.target={infected: binari, score: regression}"], "did you mean 'binary'"),
        (["data.target={infected: binary, skore: regression}"], "did you mean 'score'"),
        (["data.target={infected: regression, score: regression}"], "'infected': 400 of 400 values are no numbers"),
        (["data.target={kind: binary, score: regression}"], "binary needs two classes"),
        (["class_weight=balanced"], "goes with one target"),
        (["metrics=[cohen_kappa_score]"], "go with one target"),
        (["loss=huber"], "several tasks"),
        (["data.task=regression"], "leave it null"),
        (["model=sklearn/ridge"], "learn one task"),
        (["trainer.early_stopping.monitor=valid/accuracy"], "is not logged"),
    ],
)
def test_mistakes_with_several_tasks_are_one_line(dlrun, table, settings, line):
    typed = settings[0].partition("=")[0].partition(".")[0]
    job = [one for one in JOB if typed != "model" or not one.startswith("model.")]
    job = [one for one in job if not (one == TASKS and settings[0].startswith("data.target"))]
    ended = dlrun(*job, *settings)
    assert ended.exit_code == 2 and line in ended.err and ended.err.count("\n") == 1, ended.err


def test_weights_of_losses_need_several_tasks(dlrun):
    ended = dlrun("data=iris", "loss.weights={target: 2}")
    assert ended.exit_code == 2 and "weighs targets with a task each" in ended.err


AUXILIARY = ("data=csv", "data.path=t.csv", "data.drop=[kind]", "data.branches={wide: [a, b], deep: all}",
             "model=wide_and_deep", "model.auxiliary={branch: deep, weight: 0.25}", "trainer.epochs=2")  # fmt: skip


@pytest.mark.parametrize("target", ["score", "infected"])
def test_an_auxiliary_head_counts_in_training_is_reported_and_is_no_prediction(dlrun, table, target):
    other = "infected" if target == "score" else "score"
    ended = dlrun(*AUXILIARY, f"data.target={target}", f"data.drop=[kind,{other}]")
    assert ended.exit_code == 0, ended.err
    for figures in (ended.metrics["train_eval"], ended.metrics["test"], ended.metrics["baseline"]["test"]):
        total = 0.75 * figures["main/loss"] + 0.25 * figures["auxiliary/loss"]
        assert figures["loss"] == pytest.approx(total, rel=1e-5)
    history = ended.history
    total = 0.75 * history["train/main/loss"] + 0.25 * history["train/auxiliary/loss"]
    assert history["train/loss"].to_numpy() == pytest.approx(total.to_numpy(), rel=1e-5)
    plain = {"score": {"truth", "prediction"}, "infected": {"truth", "prediction", "probability_no", "probability_yes"}}
    assert set(ended.predictions.columns) - {"row", "split", "part"} == plain[target]
    told = dlrun("predict", "run=latest", "input=t.csv")
    assert told.exit_code == 0 and "auxiliary" not in told.out, told.err
    judged = dlrun("eval", "run=latest", "data.path=t.csv")
    assert judged.exit_code == 0 and "auxiliary/loss" in judged.out, judged.err


@pytest.mark.parametrize(
    "settings, line",
    [
        (["model.auxiliary.branch=dep"], "did you mean 'deep'"),
        (["model.auxiliary.weight=1.5"], "must lie between 0 and 1"),
        (["loss=huber"], "does not go with model.auxiliary"),
    ],
)
def test_an_auxiliary_head_that_cannot_be_is_one_line(dlrun, table, settings, line):
    ended = dlrun(*AUXILIARY, "data.target=score", *settings)
    assert ended.exit_code == 2 and line in ended.err and ended.err.count("\n") == 1, ended.err


@pytest.mark.skipif(not (DATA / "scikit_learn_data").exists(), reason="California housing is not at hand")
def test_the_courses_two_inputs_have_1207_parameters_with_their_auxiliary_head(dlrun):
    ended = dlrun("experiment=mlbd/california_two_inputs", "trainer.epochs=1")
    assert ended.exit_code == 0 and ended.metrics["parameters"] == 1207, ended.err
    assert {"loss", "main/loss", "auxiliary/loss"} <= set(ended.metrics["test"])
