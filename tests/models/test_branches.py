"""Several inputs: branches of a table, each with its encoder, joined and learned from as one network."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import DATA, run_folders, trained_by_hand
from torch import nn

from dlrun import load
from dlrun.models.branches import Branches
from dlrun.models.cnn import CNN
from dlrun.models.mlp import MLP
from dlrun.models.recurrent import GRU, LSTM, RNN
from dlrun.models.summary import count_parameters
from dlrun.tensors import InputSpec

COLUMNS = ("a", "b", "c", "d")
TWO = "data.branches={wide: [a, b], deep: [b, c, d]}"
JOB = ("data=csv", "data.path=t.csv", "data.target=y", TWO, "model=wide_and_deep", "trainer.epochs=3",
       "data.scale_target=false")  # fmt: skip


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=COLUMNS)
    frame["d"] = rng.choice(["red", "green", "blue"], 300)
    frame["y"] = 2 * frame["a"] - frame["b"] ** 2 + (frame["d"] == "red") + rng.normal(0, 0.1, 300)
    frame.to_csv(tmp_path / "t.csv", index=False)
    return frame


class ByHand(nn.Module):
    """Wide and deep, as one would write it for these columns."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.output = nn.Linear(5, 8), nn.Linear(8, 6), nn.Linear(8, 1)

    def forward(self, wide, deep):
        deep = torch.relu(self.second(torch.relu(self.first(deep))))
        return self.output(torch.cat([wide, deep], dim=1))


def test_a_wide_and_deep_network_learns_as_one_written_by_hand(dlrun, table):
    told = ("model.encoders.deep.hidden=[8,6]", "optimizer=sgd", "optimizer.lr=0.05", "precision=fp64",
            "trainer.shuffle=false", "trainer.batch_size=50", "trainer.early_stopping=null")  # fmt: skip
    dlrun(*JOB, *told, "trainer.epochs=0", "output_dir=begun")
    ended = dlrun(*JOB, *told)
    assert ended.exit_code == 0, ended.err
    start, fitted = load(str(run_folders(Path("begun"))[0]), "cpu"), load(str(ended.folder), "cpu")
    model = ByHand().double()
    names = {"first": "encoders.deep.layers.1", "second": "encoders.deep.layers.3", "output": "output"}
    weights = start.model.state_dict()
    model.load_state_dict(
        {f"{own}.{leaf}": weights[f"{theirs}.{leaf}"] for own, theirs in names.items() for leaf in ("weight", "bias")}
    )
    rows = ended.predictions[ended.predictions["split"] == "train"]["row"].to_numpy()
    stored = fitted.preprocessing.apply(table.iloc[rows])
    targets = torch.from_numpy(table["y"].to_numpy()[rows])[:, None]

    def loss_of(batch):
        return nn.functional.mse_loss(model(stored["wide"][batch], stored["deep"][batch]), targets[batch])

    losses = trained_by_hand(model.parameters(), loss_of, len(rows), batch_size=50, lr=0.05, epochs=3)
    assert ended.history["train/loss"].to_numpy() == pytest.approx(losses, abs=1e-6)


def test_a_branch_is_of_names_patterns_or_all_and_columns_may_stand_in_several(dlrun, table):
    ended = dlrun(*JOB[:3], "data.branches={left: ['[ab]', d], right: all}", "model=branches", "trainer.epochs=1")
    assert ended.exit_code == 0 and "inputs left 5 + right 6" in ended.out, ended.err
    described = json.loads((ended.folder / "preprocessing.json").read_text())["rows"]["branches"]
    assert described["left"]["feature_names"] == ["a", "b", "d_blue", "d_green", "d_red"]


def test_a_run_with_branches_is_resumed_judged_repeated_and_predicted_with(dlrun, table, tmp_path):
    whole = dlrun(*JOB)
    dlrun(*JOB, "trainer.epochs=1", "trainer.keep_checkpoints=true", "output_dir=parts")
    stopped = run_folders(Path("parts"))[0]
    resumed = dlrun(f"resume={stopped}", "trainer.epochs=3")
    assert resumed.exit_code == 0, resumed.err
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole.folder, stopped)]
    assert weights[0] == weights[1]
    judged = dlrun("eval", f"run={whole.folder}", "output=figures.json", "importance=2")
    assert judged.exit_code == 0, judged.err
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["test"] == whole.metrics["test"]
    assert {row["column"] for row in figures["importance"]} == set(COLUMNS)
    table.drop(columns="y").sample(frac=1, random_state=0, axis=1).to_csv(tmp_path / "new.csv", index=False)
    told = dlrun("predict", f"run={whole.folder}", "input=new.csv", "output=told.csv")
    assert told.exit_code == 0, told.err
    found = pd.read_csv(tmp_path / "told.csv")["prediction"].to_numpy()
    rows = whole.predictions["row"].to_numpy()
    assert found[rows] == pytest.approx(whole.predictions["prediction"].astype(float).to_numpy(), rel=1e-6)
    assert load(str(whole.folder), "cpu").predict(table)["prediction"].to_numpy() == pytest.approx(found, rel=1e-6)


def test_folds_and_sweeps_work_with_branches(dlrun, table):
    ended = dlrun("-m", *JOB, "trainer.epochs=1", "cv.folds=2", "model.combiner=concat,sum",
                  "model.encoders.wide={model: mlp, hidden: [30]}")  # fmt: skip
    assert ended.exit_code == 0 and "±" in ended.out, ended.err


def test_an_exported_network_has_an_input_for_each_branch(dlrun, table, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    ended = dlrun(*JOB, "trainer.epochs=1")
    said = dlrun("export", "run=latest", "format=onnx", "output=net.onnx")
    assert said.exit_code == 0 and "wide rows × 2 (float32), deep rows × 5 (float32)" in said.out, said.err
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    assert [given.name for given in session.get_inputs()] == ["wide", "deep"]
    fitted = load(str(ended.folder), "cpu")
    stored = {name: rows.float().numpy() for name, rows in fitted.preprocessing.apply(table).items()}
    (scores,) = session.run(None, stored)
    assert scores[:, 0] == pytest.approx(fitted.predict(table)["prediction"].to_numpy(), abs=1e-4)
    assert dlrun("export", "run=latest", "format=torch", "output=net.pt2").exit_code == 0


MISTAKES = {
    "a column in no branch": (["data.branches={wide: [a, b], deep: [b, c]}"], "d stand in no branch"),
    "an unknown column": (["data.branches={wide: [a, x], deep: all}"], "there is no column 'x'"),
    "a pattern without a column": (["data.branches={wide: ['x*'], deep: all}"], "there is no column 'x*'"),
    "an empty branch": (["data.branches={wide: [], deep: all}"], "data.branches.wide: has no columns"),
    "an unknown branch in a model": (
        ["model=branches", "model.encoders={wide: identity, deep: mlp, wyde: mlp}"],
        "no such branch; did you mean 'wide'"),
    "an unknown model": (["model.encoders={wide: identity, deep: mlpp}"], "did you mean 'mlp'"),
    "an unknown setting": (["model.encoders.deep.hiden=[3]"], "did you mean 'hidden'"),
    "an encoder that is no network": (
        ["model.encoders.wide={_target_: sklearn.svm.SVC}"], "model.encoders.wide._target_"),
    "an encoder that reads something else": (["model.encoders.deep=lstm"], "needs series or images"),
    "widths that cannot be added": (["model.combiner=sum"], "sum needs encoders of one width"),
    "a combiner that is none": (["model.combiner=sun"], "did you mean 'sum'"),
    "a model of one branch": (["model=mlp"], "use model=branches"),
    "an estimator": (["model=sklearn/ridge"], "read one branch"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_with_branches_are_one_line(dlrun, table, name):
    settings, line = MISTAKES[name]
    ended = dlrun(*JOB, *settings)
    assert ended.exit_code == 2 and line in ended.err and ended.err.count("\n") == 1, ended.err
    assert not list(ended.outputs.glob("*/*"))


@pytest.mark.parametrize(
    "settings, line",
    [(["data=digits", "data.branches={a: all}"], "divides the columns of a table"),
     (["data=iris", "data.branches={a.b: all}"], "no name for a branch"),
     (["data=iris", "data.branches=[a]"], "list is not a subclass of Dict")],
)  # fmt: skip
def test_branches_are_of_tables_and_have_names(dlrun, settings, line):
    ended = dlrun(*settings, "model=branches")
    assert ended.exit_code == 2 and line in ended.err and ended.err.count("\n") == 1, ended.err


@pytest.mark.parametrize(
    "encoder, shape",
    [(MLP, (6,)), (CNN, (1, 8, 8)), (RNN, (5, 3)), (LSTM, (5, 3)), (GRU, (5, 3))],
)
def test_every_model_gives_its_features_without_a_head(encoder, shape):
    settings = {"channels": [4]} if encoder is CNN else {"hidden": [7]}
    torch.manual_seed(0)
    whole = encoder(shape, 2, **settings).eval()
    bare = encoder(shape, None, **settings).eval()
    assert not bare.load_state_dict(whole.state_dict(), strict=False).missing_keys
    rows = torch.rand(4, *shape)
    torch.testing.assert_close(bare(rows), whole.features(rows))
    torch.testing.assert_close(whole.head(whole.features(rows)), whole(rows))
    head = sum(parameter.numel() for parameter in whole.head.parameters())
    assert count_parameters(bare) == count_parameters(whole) - head


def test_a_branch_without_an_encoder_is_read_as_suits_it():
    specs = {"numbers": InputSpec((3,)), "photo": InputSpec((1, 8, 8)), "words": InputSpec((6,), torch.int64, 20)}
    model = Branches(specs, 2, {}, hidden=[5])
    assert [type(encoder) for encoder in model.encoders.values()] == [nn.Flatten, CNN, LSTM]
    rows = {"numbers": torch.rand(4, 3), "photo": torch.rand(4, 1, 8, 8), "words": torch.randint(0, 20, (4, 6))}
    assert model(rows).shape == (4, 2)


@pytest.mark.skipif(not (DATA / "scikit_learn_data").exists(), reason="California housing is not at hand")
def test_the_courses_wide_and_deep_network_has_1239_parameters(dlrun):
    ended = dlrun("experiment=mlbd/california_wide_deep", "trainer.epochs=0")
    assert ended.exit_code == 0 and ended.metrics["parameters"] == 1239, ended.err


def test_predict_reads_a_table_without_a_header_into_the_branches_it_was_trained_on(dlrun, table, tmp_path):
    table[["a", "b", "c", "y"]].to_csv(tmp_path / "bare.csv", index=False, header=False)
    ended = dlrun("data=csv", "data.path=bare.csv", "data.target=4", "data.branches={wide: ['1'], deep: all}",
                  "model=wide_and_deep", "trainer.epochs=1")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    said = dlrun("predict", "run=latest", "input=bare.csv", "output=said.csv")
    assert said.exit_code == 0 and len(pd.read_csv(tmp_path / "said.csv")) == len(table), said.err
