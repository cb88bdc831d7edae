"""A finished run predicts for new rows what it predicted for its own, from files of every kind and from Python."""

import io
import json
import pickle
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import DATA, needs_mnist
from PIL import Image

import dlrun as package


@pytest.fixture
def flats(tmp_path):
    """Flats with numbers, categories, dates, gaps, and the price that these decide."""
    rng = np.random.default_rng(0)
    n = 400
    frame = pd.DataFrame({
        "note": [f'said "{i}", twice' for i in range(n)],
        "area": rng.normal(80, 20, n).round(1),
        "rooms": rng.choice([1, 2, 3, np.nan], n),
        "city": rng.choice(["Bern", "Genf", "Chur"], n),
        "floor": rng.choice([0, 1, 2, 3], n),
        "garden": rng.choice(["yes", "no"], n),
        "built": pd.date_range("1990-01-01", periods=n, freq="11D").strftime("%d.%m.%Y"),
    })  # fmt: skip
    frame["price"] = (3000 * frame["area"] + 50_000 * (frame["city"] == "Bern") + rng.normal(0, 5000, n)).round()
    frame.to_csv(tmp_path / "flats.csv", index=False)
    return frame


FLATS = ("data=csv", "data.path=flats.csv", "data.target=price", "data.drop=[note]",
         "data.columns={floor: category, rooms: category}", "trainer.epochs=5")  # fmt: skip


def own(ended) -> pd.DataFrame:
    """The run's own predictions, in the order of its rows."""
    return ended.predictions.sort_values("row").reset_index(drop=True)


def test_rows_of_the_training_file_are_predicted_as_the_run_did_whatever_the_order_of_columns(dlrun, flats, tmp_path):
    ended = dlrun(*FLATS)
    flats.sample(frac=1, axis=1, random_state=1).to_csv(tmp_path / "new.tsv", sep="\t", index=False)
    said = dlrun("predict", "input=new.tsv", "output=said.csv")
    assert said.exit_code == 0, said.err
    found = pd.read_csv(tmp_path / "said.csv", dtype={"note": str})
    assert found["prediction"].to_numpy() == pytest.approx(own(ended)["prediction"].to_numpy(), rel=1e-6)
    assert found["note"].tolist() == flats["note"].tolist()  # passed through as it stood


def test_from_python_a_loaded_run_predicts_for_a_dataframe(dlrun, flats):
    ended = dlrun(*FLATS)
    some = flats.drop(columns="price").iloc[[7, 3, 99]]
    found = package.load(ended.folder).predict(some)
    assert found.index.tolist() == [7, 3, 99]
    assert found["prediction"].to_numpy() == pytest.approx(own(ended)["prediction"][[7, 3, 99]].to_numpy(), rel=1e-6)


def test_python_runs_what_the_command_line_runs(dlrun):
    by_command = dlrun("data=iris", "trainer.epochs=2", into="command")
    ran = package.run("data=iris", "trainer.epochs=2", "quiet=true", "output_dir=python")
    assert ran.exit_code == 0 and ran.metrics["test"] == by_command.metrics["test"]
    assert (ran.folder / "model.safetensors").read_bytes() == (by_command.folder / "model.safetensors").read_bytes()


def test_classes_come_with_their_names_and_probabilities(dlrun, tmp_path):
    from sklearn.datasets import load_iris

    ended = dlrun("data=iris", "trainer.epochs=20")
    load_iris(as_frame=True).data.to_csv(tmp_path / "iris.csv", index=False)
    dlrun("predict", "input=iris.csv", "output=said.csv")
    found, expected = pd.read_csv(tmp_path / "said.csv"), own(ended)
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    for name in ("setosa", "versicolor", "virginica"):
        column = f"probability_{name}"
        assert found[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-6)


def test_a_threshold_moves_the_predicted_class(dlrun, tmp_path):
    from sklearn.datasets import load_breast_cancer

    dlrun("data=breast_cancer", "trainer.epochs=3")
    load_breast_cancer(as_frame=True).data.to_csv(tmp_path / "new.csv", index=False)
    dlrun("predict", "input=new.csv", "output=said.csv", "threshold=0.9")
    found = pd.read_csv(tmp_path / "said.csv")
    assert ((found["probability_benign"] > 0.9) == (found["prediction"] == "benign")).all()


def test_the_input_may_come_from_a_pipe_and_the_output_go_into_one(dlrun, flats, monkeypatch):
    ended = dlrun(*FLATS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(flats.head(9).to_csv(index=False).encode())))
    said = dlrun("predict", "input=-")
    found = pd.read_csv(io.StringIO(said.out))
    assert found["prediction"].to_numpy() == pytest.approx(own(ended)["prediction"][:9].to_numpy(), rel=1e-6)


def test_values_that_are_no_use_are_counted(dlrun, flats, tmp_path):
    dlrun(*FLATS)
    flats.assign(city="Oslo", area=["big"] * 3 + [80] * 397).to_csv(tmp_path / "new.csv", index=False)
    said = dlrun("predict", "input=new.csv", "output=said.csv")
    assert said.exit_code == 0 and "'city': 400 values" in said.err and "'area': 3 values" in said.err
    assert len(pd.read_csv(tmp_path / "said.csv")) == 400


def test_what_cannot_be_predicted_for_is_one_line_and_writes_nothing(dlrun, flats, tmp_path):
    dlrun(*FLATS)
    flats.drop(columns="area").to_csv(tmp_path / "short.csv", index=False)
    flats.assign(prediction=1).to_csv(tmp_path / "twice.csv", index=False)
    (tmp_path / "header.csv").write_text("area,rooms,city,floor,garden,built\n")
    np.save(tmp_path / "wide.npy", np.zeros((3, 99)))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    words = {"short.csv": "'area'", "twice.csv": "'prediction'", "header.csv": "no row", "none.csv": "no file"}
    for name, word in {**words, "wide.npy": "6 columns", "object.npy": "array"}.items():
        said = dlrun("predict", f"input={name}", "output=said.csv")
        assert said.exit_code == 2 and said.err.count("\n") == 1 and word in said.err, said.err
        assert not (tmp_path / "said.csv").exists()
    said = dlrun("predict", "input=flats.csv", "output=no/such/folder.csv")
    assert said.exit_code == 2 and said.err.count("\n") == 1 and "no/such/folder.csv" in said.err
    assert dlrun("predict", "inputs=flats.csv").err.count("did you mean 'input'") == 1


def test_a_run_without_results_says_so(dlrun, flats):
    ended = dlrun(*FLATS)
    (ended.folder / "preprocessing.json").unlink()
    said = dlrun("predict", "input=flats.csv")
    assert said.exit_code == 2 and said.err.count("\n") == 1 and "no results" in said.err


def test_images_in_a_folder_or_alone_or_in_an_array_are_predicted(dlrun, tmp_path):
    rng = np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (tmp_path / "colours" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 90, (8, 8, 3), dtype=np.uint8)
            pixels[..., channel] += 150
            Image.fromarray(pixels).save(tmp_path / "colours" / name / f"{i:02}.png")
    ended = dlrun("data=folder", "data.path=colours", "model=mlp", "trainer.epochs=20")
    dlrun("predict", "input=colours", "output=said.csv")
    found = pd.read_csv(tmp_path / "said.csv")
    assert found["file"][0].endswith("00.png") and len(found) == 40
    assert found["probability_red"].to_numpy() == pytest.approx(own(ended)["probability_red"].to_numpy(), abs=1e-6)
    one = dlrun("predict", "input=colours/red/03.png")
    assert one.out.splitlines()[1].split(",")[1] == "red"
    array = np.stack([np.asarray(Image.open(tmp_path / "colours" / "blue" / f"{i:02}.png")) for i in range(5)])
    np.save(tmp_path / "five.npy", array.transpose(0, 3, 1, 2))
    said = dlrun("predict", "input=five.npy")
    assert pd.read_csv(io.StringIO(said.out))["probability_red"].to_numpy() == pytest.approx(
        found["probability_red"][:5].to_numpy()
    )
    np.save(tmp_path / "small.npy", array.transpose(0, 3, 1, 2)[..., :5])
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    for name, word in {"small.npy": "3×8×5", "broken.png": "no image"}.items():
        said = dlrun("predict", f"input={name}")
        assert said.exit_code == 2 and said.err.count("\n") == 1 and word in said.err


@needs_mnist
def test_pictures_of_digits_of_any_size_are_read_as_the_run_was_trained(dlrun, tmp_path):
    from sklearn.datasets import load_digits

    dlrun("data=digits", "trainer.epochs=15")
    (tmp_path / "drawn").mkdir()
    for i in range(20):
        grey = (load_digits().images[i] * 255 / 16).astype(np.uint8)
        Image.fromarray(grey).resize((32, 32)).convert("RGB").save(tmp_path / "drawn" / f"{i:02}.png")
    found = pd.read_csv(io.StringIO(dlrun("predict", "input=drawn").out))
    assert (found["prediction"] == load_digits().target[:20]).mean() >= 0.9


def test_texts_are_predicted_from_tables_and_from_lines(dlrun, tmp_path):
    (tmp_path / "mails.csv").write_text("message,kind\n" + 'win money now,spam\n"see you, soon",ham\n' * 50)
    (tmp_path / "lines.txt").write_text("you win\nsoon\n")
    mails = ("data=text", "data.path=mails.csv", "data.text=message", "data.target=kind", "trainer.epochs=30")
    for represent, model in (("tfidf", "logistic"), ("tokens", "lstm")):
        ended = dlrun(*mails, f"data.represent={represent}", f"model={model}", f"output_dir={represent}")
        assert ended.exit_code == 0
        run = next((tmp_path / represent).rglob("metrics.json")).parent
        dlrun("predict", f"run={run}", "input=mails.csv", "output=said.csv")
        found = pd.read_csv(tmp_path / "said.csv")
        expected = pd.read_csv(run / "predictions.csv").sort_values("row")
        assert found["probability_spam"].to_numpy() == pytest.approx(expected["probability_spam"].to_numpy(), abs=1e-6)
        said = dlrun("predict", f"run={run}", "input=lines.txt")
        assert said.out.splitlines()[0].startswith("message,prediction")


def test_a_series_is_forecast_from_every_run_of_lags(dlrun, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"hour": range(200), "demand": np.sin(np.arange(200) / 4) + rng.normal(0, 0.1, 200)})
    frame.to_csv(tmp_path / "demand.csv", index=False)
    ended = dlrun("data=series", "data.path=demand.csv", "data.target=demand", "data.lags=6", "data.horizon=2",
                  "model=linear", "trainer.epochs=3")  # fmt: skip
    found = pd.read_csv(io.StringIO(dlrun("predict", "input=demand.csv").out))
    assert found["hour"].tolist() == list(range(5, 200))  # the last step that each forecast has seen
    expected = own(ended).set_index("row")["prediction"]
    ahead = found.set_index(found["hour"] + 2)["prediction"]  # the step that it is for
    assert ahead[expected.index].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)
    (tmp_path / "short.csv").write_text("demand\n1\n2\n")
    said = dlrun("predict", "input=short.csv")
    assert said.exit_code == 2 and "6 lags" in said.err


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_predicted_in_little_memory(dlrun, flats, tmp_path):
    ended = dlrun(*FLATS, "model=linear")
    big = pd.concat([flats] * 250, ignore_index=True)
    big.sample(frac=1, axis=1, random_state=0).to_csv(tmp_path / "big.csv", index=False)
    tracemalloc.start()
    said = dlrun("predict", "input=big.csv", "output=said.csv")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said.exit_code == 0 and peak < 100e6, peak
    found = pd.read_csv(tmp_path / "said.csv", usecols=["prediction"])["prediction"].to_numpy()
    assert found == pytest.approx(np.tile(own(ended)["prediction"].to_numpy(), 250), rel=1e-6)


def test_names_are_generated_likelier_at_low_temperatures(dlrun, tmp_path):
    if not (DATA / "names.txt").is_file():
        pytest.skip("the names are not at hand")
    dlrun("data=names", "model=lstm", "model.hidden=[16]", "trainer.epochs=3", "optimizer.lr=0.01", "data.limit=8000")
    said = dlrun("generate", "temperature=[0.1,3]", "count=20", "start=mar")
    lines = said.out.splitlines()
    cold, hot = [line.strip() for line in lines[1:21]], [line.strip() for line in lines[22:]]
    assert all(line.startswith("mar") for line in cold + hot) and len(set(cold)) < len(set(hot))
    assert dlrun("generate", "temperature=[0.1,3]", "count=20", "start=mar").out == said.out
    assert dlrun("generate", "temperature=[0.1,3]", "count=20", "start=mar", "seed=1").out != said.out
    for arguments, word in ((["start=ma"], "3 characters"), (["start=m1r"], "'1'"), (["temperature=0"], "above 0")):
        refused = dlrun("generate", *arguments)
        assert refused.exit_code == 2 and refused.err.count("\n") == 1 and word in refused.err
    assert dlrun("predict", "input=.").err.count("dlrun generate") == 1


def test_only_a_model_of_characters_generates(dlrun):
    dlrun("data=iris", "trainer.epochs=1")
    refused = dlrun("generate")
    assert refused.exit_code == 2 and refused.err.count("\n") == 1 and "data=names" in refused.err


class Touch:
    """Unpickled, or built from its state, leaves a marker."""

    marker = ""

    def __reduce__(self):
        return open, (self.marker, "w")


def evil_target(folder, marker):
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nfrom torch.nn import Linear as Net\n")
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("dlrun.models.mlp.MLP", "evil.Net"))


def evil_setting(folder, marker):
    text = (folder / "config.yaml").read_text()
    activation = f"{{_target_: os.system, command: 'touch {marker}'}}"
    (folder / "config.yaml").write_text(text.replace("activation: relu", f"activation: {activation}"))


def evil_preprocessing(folder, marker):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    skops.io.dump(FunctionTransformer(open, kw_args={"mode": "w"}), folder / "preprocessing.skops")


def evil_weights(folder, marker):
    Touch.marker = str(marker)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Touch()))


def evil_link(folder, marker):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/etc/hostname")


@pytest.mark.parametrize("evil", [evil_target, evil_setting, evil_preprocessing, evil_weights, evil_link])
def test_a_hostile_run_runs_no_code_when_it_is_used(dlrun, flats, tmp_path, monkeypatch, evil):
    ended = dlrun(*FLATS)
    marker = tmp_path / "marker"
    evil(ended.folder, marker)
    monkeypatch.syspath_prepend(ended.folder)
    for command in (["predict", "input=flats.csv"], ["eval"]):
        said = dlrun(*command)
        assert said.exit_code == 2 and said.err.count("\n") == 1, said.err
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["task", "rows", "target", "weights", "interpolation"])
def test_a_damaged_run_is_one_line(dlrun, flats, damage):
    ended = dlrun(*FLATS)
    described = json.loads((ended.folder / "preprocessing.json").read_text())
    if damage == "task":
        described["task"]["name"] = "os.system"
    elif damage == "rows":
        described["rows"]["shape"] = "5"
    elif damage == "target":
        described["inputs"]["_target_"] = "os.system"
    elif damage == "weights":
        from safetensors.torch import save_file

        save_file({"output.weight": torch.zeros(1)}, ended.folder / "model.safetensors")
    else:
        text = (ended.folder / "config.yaml").read_text()
        (ended.folder / "config.yaml").write_text(text.replace("name: null", "name: ${oc.env:HOME}"))
    (ended.folder / "preprocessing.json").write_text(json.dumps(described))
    said = dlrun("predict", "input=flats.csv")
    assert said.exit_code == 2 and said.err.count("\n") == 1 and str(ended.folder.name) in said.err


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("rows", "shape", [-4]),
        ("rows", "shape", [10**9]),
        ("rows", "shape", [10**30]),
        ("task", "scale", ["x"]),
        ("task", "scale", []),
    ],
)
def test_a_damaged_preprocessing_is_named(dlrun, part, key, value):
    folder = dlrun("data=diabetes", "model.hidden=[1000]", "trainer.epochs=1", "plots=[]").folder
    described = json.loads((folder / "preprocessing.json").read_text())
    described[part][key] = value
    (folder / "preprocessing.json").write_text(json.dumps(described))
    said = dlrun("eval")
    assert said.exit_code == 2 and said.err.count("\n") == 1, said.err
    assert "preprocessing.json: is damaged" in said.err
