"""A data set and an optimizer of one's own work from a --config-dir, as the docs say, and the run loads again."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import dlrun as package
from dlrun.errors import Mistake

CONF = ("--config-dir", "conf")


@pytest.fixture
def trained(dlrun, from_docs):
    """A run on the data set of the docs' page."""
    from_docs("own_dataset.md", "my_data")
    ended = dlrun(*CONF, "data=mine", "model=logistic", "trainer.epochs=30", "optimizer.lr=0.5",
                  "trainer.keep_checkpoints=true")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    return ended


def test_a_data_set_of_ones_own_trains_and_its_run_predicts_as_it_was_judged(dlrun, trained):
    assert trained.metrics["test"]["accuracy"] > 0.9
    generator = np.random.default_rng(0)
    times = generator.lognormal(3, 1, size=(200, 2))
    new = pd.DataFrame(times, columns=["first", "second"]).assign(name="x")[["name", "second", "first"]]
    new.to_csv("new.csv", index=False)
    np.save("new.npy", times)
    sys.modules.pop("my_data")  # as in a process of its own
    expected = trained.predictions.set_index("row").sort_index()
    for name in ("new.csv", "new.npy"):
        ended = dlrun(*CONF, "predict", f"input={name}", "output=out.csv")
        assert ended.exit_code == 0, ended.err
        said = pd.read_csv("out.csv")
        assert said["prediction"].tolist() == expected["prediction"].tolist()
        assert said["probability_first"].to_numpy() == pytest.approx(expected["probability_first"].to_numpy())
    loaded = package.load(str(trained.folder), config_dir="conf")
    assert loaded.predict(new)["prediction"].tolist() == expected["prediction"].tolist()
    again = package.load(str(trained.folder), allow_targets=("my_data",))
    np.testing.assert_array_equal(again.preprocessing.mean, loaded.preprocessing.mean)
    assert again.inputs.dtype == torch.float32 and [c.name for c in again.preprocessing.schema().columns] == [
        "first", "second",
    ]  # fmt: skip


def test_eval_plot_export_and_resume_know_a_data_set_of_ones_own(dlrun, trained):
    sys.modules.pop("my_data")
    figures = trained.folder / "figures.json"
    judged = dlrun(*CONF, "eval", f"output={figures}")
    assert judged.exit_code == 0, judged.err
    assert json.loads(figures.read_text())["test"] == trained.metrics["test"]
    for command in (["plot"], ["export", "format=state_dict"], ["resume=latest", "trainer.epochs=31"]):
        ended = dlrun(*CONF, *command)
        assert ended.exit_code == 0, ended.err


def test_without_trust_a_run_with_a_preprocessing_of_ones_own_is_refused_with_a_remedy_that_works(dlrun, trained):
    sys.modules.pop("my_data")
    np.save("new.npy", np.ones((3, 2)))
    refused = dlrun("predict", "input=new.npy")
    assert refused.exit_code == 2 and refused.err.count("\n") == 1 and "allow_targets=[my_data]" in refused.err
    assert "my_data" not in sys.modules
    assert dlrun("predict", "input=new.npy", "allow_targets=[my_data]").exit_code == 0
    missing = dlrun("--config-dir", "cnf", "predict", "input=new.npy")
    assert missing.exit_code == 2 and "cnf" in missing.err


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("Logarithms(Preprocessing)", "Logarithms"), "no subclass of dlrun.data.preprocessing.base.Preprocessing"),
        (("self.mean = np.log(inputs).mean(axis=0)", "self.mean, self.file = 0, open"), "Logarithms.file"),
        (("torch.from_numpy(np.log(inputs) - self.mean)", "np.log(inputs)"), "gave a ndarray"),
        (("torch.from_numpy(np.log(inputs) - self.mean)", "torch.zeros(3, 2)"), "gave 3 rows for"),
        (
            (
                "torch.from_numpy(np.log(inputs) - self.mean)",
                "{'a': torch.ones(len(inputs)), 'b': torch.ones(len(inputs))}",
            ),
            "several branches (a, b)",
        ),
        (("return Source(", "class Logarithms(Preprocessing): pass\n    return Source("), "inside a function"),
    ],
)
def test_what_could_not_be_loaded_again_is_refused_before_it_trains(dlrun, from_docs, tmp_path, change, expected):
    from_docs("own_dataset.md", "my_data")
    module = tmp_path / "my_data.py"
    module.write_text(module.read_text().replace(*change))
    ended = dlrun(*CONF, "data=mine", "model=logistic", "trainer.epochs=1")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and expected in ended.err
    assert not ended.outputs.exists()


def test_importance_and_generate_say_that_a_data_set_of_ones_own_is_not_for_them(dlrun, trained):
    for command in (["eval", "importance=2"], ["generate"]):
        ended = dlrun(*CONF, *command)
        assert ended.exit_code == 2 and ended.err.count("\n") == 1, ended.err


def test_a_table_under_a_preprocessing_of_ones_own_lacks_no_column_and_holds_numbers(trained):
    fitted = package.load(str(trained.folder), config_dir="conf")
    with pytest.raises(Mistake, match="no column 'second'"):
        fitted.predict(pd.DataFrame({"first": [1.0]}))
    with pytest.raises(Mistake, match="no number"):
        fitted.predict(pd.DataFrame({"first": ["a"], "second": ["b"]}))


def test_an_optimizer_of_ones_own_trains_and_is_resumed(dlrun, from_docs):
    from_docs("own_optimizer.md", "my_optim")
    iris = ("data=iris", "model=logistic", "optimizer=mine", "trainer.checkpoint_every.epochs=1")
    ended = dlrun(*CONF, *iris, "trainer.epochs=4", "trainer.keep_checkpoints=true")
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["train_eval"]["loss"] < ended.metrics["baseline"]["train_eval"]["loss"]
    assert dlrun(*CONF, "resume=latest", "trainer.epochs=6").exit_code == 0
    assert len(pd.read_csv(ended.folder / "history.csv")) == 6
    wrong = dlrun(*CONF, *iris, "optimizer.lrr=1")
    assert wrong.exit_code == 2 and "optimizer" in wrong.err
