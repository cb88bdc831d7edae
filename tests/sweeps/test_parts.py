"""Folds, repeats, learning curves and sweeps are parts of one engine: averaged, resumed, the same bits in parallel."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as m
from conftest import needs_mnist
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SAME_BITS = ("model.safetensors", "history.csv", "predictions.csv")
IRIS = ("data=iris", "model=logistic", "trainer.epochs=3")


def whole(ended):
    """The folder of the whole: the outermost one."""
    folders = {path.parent for path in ended.outputs.rglob("environment.json")}
    outermost = [folder for folder in folders if not folders & set(folder.parents)]
    assert len(outermost) == 1, outermost
    return outermost[0]


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


def rows_tested(folder) -> list[int]:
    said = pd.read_csv(folder / "predictions.csv")
    return said[said["split"] == "test"]["row"].tolist()


def test_folds_have_the_scores_of_scikit_learns_cross_validation(dlrun):
    ended = dlrun("data=iris", "model=sklearn/logistic", "cv.folds=5", "data.split.valid=null", "seed=3")
    assert ended.exit_code == 0, ended.err
    found = [read(whole(ended) / f"fold_{k}")["test"]["accuracy"] for k in range(1, 6)]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    assert found == pytest.approx(cross_val_score(model, *load_iris(return_X_y=True), cv=folds))
    metrics = read(whole(ended))
    assert metrics["test"]["accuracy"] == pytest.approx(np.mean(found))
    assert metrics["deviation"]["test"]["accuracy"] == pytest.approx(np.std(found, ddof=1))


def test_every_row_is_held_out_once_and_judged_out_of_fold(dlrun):
    ended = dlrun(*IRIS, "cv.folds=4")
    said = pd.read_csv(whole(ended) / "predictions.csv")
    assert sorted(said["row"]) == list(range(150)) and set(said["part"]) == {f"fold_{k}" for k in range(1, 5)}
    figures = read(whole(ended))["out_of_fold"]
    assert figures["accuracy"] == pytest.approx(m.accuracy_score(said["truth"], said["prediction"]))
    names = ["setosa", "versicolor", "virginica"]
    assert figures["confusion_matrix"] == m.confusion_matrix(said["truth"], said["prediction"], labels=names).tolist()


def test_folds_in_the_order_of_the_file_are_scikit_learns(dlrun):
    ended = dlrun("data=iris", "model=sklearn/logistic", "cv={folds: 3, shuffle: false}")
    rows, classes = load_iris(return_X_y=True)
    for k, (_, test) in enumerate(StratifiedKFold(3).split(rows, classes), 1):
        assert sorted(rows_tested(whole(ended) / f"fold_{k}")) == test.tolist()


@pytest.fixture
def shops(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"shop": rng.choice(list("abcdefgh"), 120), "day": rng.permutation(120), "x": rng.normal(size=120)}
    )
    frame["sales"] = 3 * frame["x"] + rng.normal(0, 0.1, 120)
    frame.to_csv(tmp_path / "shops.csv", index=False)
    return frame


SHOPS = ("data=csv", "data.path=shops.csv", "data.target=sales", "model=linear", "trainer.epochs=2")


def test_groups_stay_together_in_a_fold(dlrun, shops):
    ended = dlrun(*SHOPS, "cv.folds=4", "data.split.test.by={group: shop}", "data.columns={shop: ignore}")
    assert ended.exit_code == 0, ended.err
    for k, (_, test) in enumerate(GroupKFold(4).split(shops, groups=shops["shop"]), 1):
        assert sorted(rows_tested(whole(ended) / f"fold_{k}")) == test.tolist()


def test_folds_by_time_are_tested_after_the_rows_before_them(dlrun, shops):
    ended = dlrun(*SHOPS, "cv.folds=3", "data.split.test.by={time: day}")
    order = np.argsort(shops["day"].to_numpy())
    for k, (_, test) in enumerate(TimeSeriesSplit(3).split(order), 1):
        assert sorted(rows_tested(whole(ended) / f"fold_{k}")) == sorted(order[test].tolist())


def test_folds_of_a_series_are_in_order(dlrun, tmp_path):
    pd.DataFrame({"v": np.sin(np.arange(200) / 5)}).to_csv(tmp_path / "v.csv", index=False)
    ended = dlrun("data=series", "data.path=v.csv", "data.target=v", "data.lags=4", "model=linear", "cv.folds=3",
                  "trainer.epochs=1")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    for k in range(1, 4):
        said = pd.read_csv(whole(ended) / f"fold_{k}" / "predictions.csv")
        assert said.query("split == 'test'")["row"].min() > said.query("split != 'test'")["row"].max()


@needs_mnist
def test_folds_leave_out_the_test_rows_that_the_source_itself_ships(dlrun):
    ended = dlrun("data=mnist", "data.limit=300", "model=logistic", "trainer.epochs=1", "cv.folds=3")
    assert sum(len(rows_tested(whole(ended) / f"fold_{k}")) for k in (1, 2, 3)) == 300
    assert read(whole(ended) / "fold_1")["rows"]["test"] == 100


def test_repeats_have_seeds_of_their_own_and_the_same_split(dlrun):
    ended = dlrun(*IRIS, "repeats=3", "seed=5")
    parts = [whole(ended) / f"repeat_{i}" for i in (1, 2, 3)]
    assert [read(part)["config"]["seed"] for part in parts] == [5, 6, 7]
    assert len({tuple(rows_tested(part)) for part in parts}) == 1
    assert len({(part / "model.safetensors").read_bytes() for part in parts}) == 3
    losses = [read(part)["test"]["loss"] for part in parts]
    metrics = read(whole(ended))
    assert metrics["test"]["loss"] == pytest.approx(np.mean(losses)) and metrics["parts"] == 3
    assert metrics["deviation"]["test"]["loss"] == pytest.approx(np.std(losses, ddof=1))
    history = pd.read_csv(whole(ended) / "history.csv")
    each = [pd.read_csv(part / "history.csv")["valid/loss"][2] for part in parts]
    assert history["valid/loss"][2] == pytest.approx(np.mean(each)) and history["parts"].tolist() == [3, 3, 3]
    assert history["valid/loss_deviation"][2] == pytest.approx(np.std(each, ddof=1))


def test_a_learning_curve_trains_on_growing_parts_of_the_training_rows(dlrun):
    ended = dlrun(*IRIS, "learning_curve=[12,0.5,1.0]")
    trained = []
    for name, size in (("rows_12", 12), ("rows_0.5", 48), ("rows_1.0", 96)):
        said = pd.read_csv(whole(ended) / name / "predictions.csv").query("split == 'train'")
        trained.append(set(said["row"]))
        assert len(said) == size
    assert trained[0] < trained[1] < trained[2]
    curve = pd.read_csv(whole(ended) / "learning_curve.csv")
    assert curve["rows"].tolist() == [12, 48, 96]
    assert curve["valid/loss"][1] == pytest.approx(read(whole(ended) / "rows_0.5")["valid"]["loss"])


def test_among_shares_1_is_the_share_of_all_rows(dlrun):
    ended = dlrun(*IRIS, "learning_curve=[0.5,1]")
    assert "1 is the share of all" in ended.out
    assert pd.read_csv(whole(ended) / "learning_curve.csv")["rows"].tolist() == [48, 96]


def test_a_learning_curve_of_rows_may_begin_with_one(dlrun):
    ended = dlrun(*IRIS, "learning_curve=[1,10]")
    assert "share" not in ended.out
    assert pd.read_csv(whole(ended) / "learning_curve.csv")["rows"].tolist() == [1, 10]


def test_fewer_rows_say_how_many_there_are(dlrun):
    one = dlrun(*IRIS, "data.train_rows=1", "dry_run=true")
    assert "1 of 96 training rows" in one.out and "data.train_rows=1.0" in one.out
    assert "96 of 96 training rows" in dlrun(*IRIS, "data.train_rows=1.0", "dry_run=true").out


def test_fewer_rows_of_a_sorted_file_are_drawn_from_all_of_it(dlrun):
    said = dlrun(*IRIS, "data.split.test=null", "data.split.valid=null", "data.train_rows=30").predictions
    assert said["truth"].nunique() == 3 and said["row"].is_monotonic_increasing


@pytest.fixture
def experiments(tmp_path):
    folder = tmp_path / "conf" / "experiment" / "own"
    folder.mkdir(parents=True)
    header = "# @package _global_\n# mine\ndefaults:\n  - override /data: iris\n  - override /model: logistic\n"
    tail = "trainer: {epochs: 2}\n"
    (folder / "grid.yaml").write_text(
        header + tail + "sweep: {optimizer.lr: [0.1, 0.01], trainer.batch_size: [16, 64]}\n"
    )
    (folder / "list.yaml").write_text(
        header + tail + "sweep:\n  - {optimizer: sgd, optimizer.lr: 0.5}\n  - {optimizer: adam, initializer: zeros}\n"
    )
    (folder / "plain.yaml").write_text(header + tail)
    return ("--config-dir", "conf")


def test_an_experiment_carries_its_own_sweep(dlrun, experiments):
    ended = dlrun(*experiments, "experiment=own/grid")
    assert ended.exit_code == 0, ended.err
    configs = [read(whole(ended) / str(n))["config"] for n in range(4)]
    found = [(c["optimizer.lr"], c["trainer.batch_size"]) for c in configs]
    assert found == [(0.1, 16), (0.1, 64), (0.01, 16), (0.01, 64)]
    assert "ranked by valid/loss" in ended.out


def test_what_is_typed_beats_the_experiments_sweep(dlrun, experiments):
    ended = dlrun(*experiments, "experiment=own/grid", "optimizer.lr=0.5")
    assert ended.exit_code == 0, ended.err
    assert ended.out.count("optimizer.lr is given on the command line") == 1
    configs = [read(folder)["config"] for folder in sorted(whole(ended).glob("[0-9]"))]
    assert [(c["optimizer.lr"], c["trainer.batch_size"]) for c in configs] == [(0.5, 16), (0.5, 64)]
    again = dlrun("--config-dir", "conf", "resume=latest")
    assert again.exit_code == 0 and again.out.count("finished before") == 2


def test_an_experiments_sweep_of_which_nothing_is_left_is_one_run(dlrun, experiments):
    ended = dlrun(*experiments, "experiment=own/grid", "optimizer.lr=0.5", "trainer={batch_size: 32}")
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["config"]["optimizer.lr"] == 0.5 and ended.metrics["config"]["trainer.batch_size"] == 32
    assert "the same bits" in dlrun(*experiments, f"run={ended.folder}").out


def test_a_sweep_over_a_key_that_the_experiment_varies_trains_nothing_twice(dlrun, experiments):
    ended = dlrun(*experiments, "-m", "experiment=own/grid", "optimizer.lr=0.3,0.4")
    assert ended.exit_code == 0, ended.err
    configs = [read(file.parent)["config"] for file in whole(ended).rglob("model.safetensors")]
    assert sorted((c["optimizer.lr"], c["trainer.batch_size"]) for c in configs) == [
        (0.3, 16), (0.3, 64), (0.4, 16), (0.4, 64),
    ]  # fmt: skip


def test_settings_that_become_equal_are_run_once(dlrun, experiments):
    ended = dlrun(*experiments, "experiment=own/list", "optimizer=sgd", "initializer=ones")
    assert ended.exit_code == 0, ended.err
    configs = [read(file.parent)["config"] for file in whole(ended).rglob("model.safetensors")]
    assert [config["optimizer.lr"] for config in configs].count(0.5) == 1 and len(configs) == 2


def test_setting_and_varying_a_key_on_the_command_line_is_a_mistake(dlrun):
    ended = dlrun(*IRIS, "optimizer.lr=0.5", "sweep={optimizer.lr: [0.1, 0.2]}")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "optimizer.lr is set" in ended.err
    assert not ended.outputs.exists()


@pytest.mark.parametrize("varied", ["name=a,b", "trainer.max_minutes=1,2", "plots=[],[roc]", "device=cpu,auto"])
def test_what_may_differ_between_equal_runs_makes_runs_of_their_own_where_it_is_varied(dlrun, varied):
    ended = dlrun("-m", *IRIS, varied)
    assert ended.exit_code == 0, ended.err
    key = varied.partition("=")[0]
    before = {n: read(whole(ended) / n)["config"][key] for n in "01"}
    shutil.rmtree(whole(ended) / "0")
    again = dlrun("resume=latest")
    assert again.exit_code == 0 and again.out.count("finished before") == 1, again.err
    assert {n: read(whole(ended) / n)["config"][key] for n in "01"} == before and before["0"] != before["1"]
    assert len(pd.read_csv(whole(ended) / "sweep.csv")) == 2


def test_of_a_whole_course_only_the_experiments_without_data_fail(dlrun):
    ended = dlrun("-m", "experiment=glob([dsapps/malaria*,dsapps/soft*])", "trainer.epochs=1")
    assert ended.exit_code == 2 and "data.path is needed" in ended.err + ended.out
    assert len(list(ended.outputs.rglob("model.safetensors"))) == 1


@pytest.mark.slow
def test_a_sweep_over_experiments_runs_each_ones_own_sweep_and_folds(dlrun, experiments):
    ended = dlrun(*experiments, "-m", "experiment=glob(own/*)", "cv.folds=2")
    assert ended.exit_code == 0, ended.err
    runs = {str(f.parent.relative_to(whole(ended))) for f in whole(ended).rglob("model.safetensors")}
    settings = [f"0/{n}" for n in range(4)] + ["1/0", "1/1", "2"]
    assert runs == {f"{setting}/fold_{k}" for setting in settings for k in (1, 2)}
    assert read(whole(ended) / "1" / "1" / "fold_1")["config"]["optimizer._target_"] == "torch.optim.Adam"
    assert read(whole(ended) / "1" / "1")["parts"] == 2


def test_a_glob_that_matches_nothing_is_a_mistake(dlrun):
    ended = dlrun("-m", "experiment=glob(ztld/*)")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "matches none" in ended.err


def test_a_part_is_the_run_that_it_would_be_alone(dlrun):
    ended = dlrun(*IRIS, "cv.folds=3", "repeats=2", into="parts")
    part = whole(ended) / "fold_2" / "repeat_2"
    again = dlrun(f"run={part}", into="alone")
    assert "the same bits" in again.out, again.out + again.err


@pytest.mark.slow
def test_parallel_jobs_have_the_bits_of_serial_ones(dlrun):
    job = ("-m", *IRIS, "model=mlp", "model.dropout=0.2", "seed=range(4)")
    serial, parallel = dlrun(*job, into="serial"), dlrun(*job, "launcher=joblib", "jobs=2", into="parallel")
    assert parallel.exit_code == 0, parallel.err
    for number in range(4):
        for name in SAME_BITS:
            found, expected = (whole(e) / str(number) / name for e in (parallel, serial))
            assert found.read_bytes() == expected.read_bytes()
    columns = ["job", "status", "seed", "valid/loss", "test/accuracy"]
    tables = [pd.read_csv(whole(ended) / "sweep.csv")[columns] for ended in (serial, parallel)]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.slow
def test_a_launcher_may_stand_in_an_experiment(dlrun, tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "two.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /launcher: joblib\n  - override /data: iris\n"
        "  - override /model: logistic\ntrainer: {epochs: 1}\nrepeats: 2\njobs: 2\n"
    )
    ended = dlrun("--config-dir", "conf", "experiment=two")
    assert ended.exit_code == 0, ended.err
    assert read(whole(ended))["parts"] == 2


def figures(folder) -> pd.DataFrame:
    table = pd.read_csv(folder / "sweep.csv", dtype=str)
    return table.drop(columns="fit_seconds")


def test_a_sweep_goes_on_where_it_stopped_to_the_same_table(dlrun, tmp_path):
    job = ("-m", *IRIS, "seed=range(5)", "optimizer.lr=0.1")
    expected = dlrun(*job, into="whole")
    stopped = dlrun(*job, into="stopped")
    folder = whole(stopped)
    shutil.rmtree(folder / "1")  # never begun
    running = json.dumps({**read(folder / "3"), "status": "running"})  # killed before its first checkpoint
    (folder / "3" / "metrics.json").write_text(running)
    (folder / "sweep.csv").write_text("")
    times = {n: (folder / n / "model.safetensors").stat().st_mtime_ns for n in "024"}
    again = dlrun("resume=latest", into="stopped")
    assert again.exit_code == 0, again.err
    assert again.out.count("finished before") == 3
    assert {n: (folder / n / "model.safetensors").stat().st_mtime_ns for n in "024"} == times
    pd.testing.assert_frame_equal(figures(folder), figures(whole(expected)))
    for number in range(5):
        for name in SAME_BITS:
            assert (folder / str(number) / name).read_bytes() == (whole(expected) / str(number) / name).read_bytes()


def test_the_same_command_with_sweep_dir_runs_only_what_is_missing_whatever_its_number(dlrun):
    first = dlrun("-m", *IRIS, "seed=3,1", "sweep_dir=mine")
    assert first.exit_code == 0, first.err
    again = dlrun("-m", *IRIS, "seed=range(4)", "sweep_dir=mine")
    assert again.exit_code == 0 and again.out.count("finished before") == 2
    seeds = {read(f)["config"]["seed"] for f in (again.outputs.parent / "mine").iterdir() if f.name.isdigit()}
    assert seeds == {0, 1, 2, 3}


def test_a_sweep_dir_with_something_else_in_it_is_a_mistake(dlrun, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("a cat")
    ended = dlrun("-m", *IRIS, "seed=1,2", "sweep_dir=photos")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "something else" in ended.err
    assert [f.name for f in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


def test_folds_go_on_where_they_stopped(dlrun):
    ended = dlrun(*IRIS, "cv.folds=3")
    folder, before = whole(ended), read(whole(ended))
    shutil.rmtree(folder / "fold_2")
    (folder / "metrics.json").write_text(json.dumps({"status": "interrupted", "kind": "parts"}))
    again = dlrun("resume=latest")
    assert again.exit_code == 0, again.err
    after = read(folder)
    assert after["test"] == before["test"] and after["out_of_fold"] == before["out_of_fold"]
    refused = dlrun("resume=latest", "trainer.epochs=9")
    assert refused.exit_code == 2 and "trainer.epochs" in refused.err


@pytest.mark.parametrize(
    ("was", "is_now", "said"),
    [
        (",split,", ",piece,", "no column split"),
        (",test,,versicolor", ",test,,dandelion", "no class is called dandelion"),
    ],
)
def test_damaged_predictions_of_a_fold_are_one_line(dlrun, was, is_now, said):
    folder = whole(dlrun(*IRIS, "cv.folds=2", "trainer.epochs=1"))
    file = folder / "fold_2" / "predictions.csv"
    file.write_text(file.read_text().replace(was, is_now))
    ended = dlrun("resume=latest")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1, ended.err
    assert "fold_2/predictions.csv" in ended.err and said in ended.err


def test_a_failing_job_does_not_stop_the_others_and_a_mistake_costs_exit_code_2(dlrun):
    ended = dlrun("-m", "data=iris,digits", "model=cnn", "trainer.epochs=1")
    assert (
        ended.exit_code == 2 and "job 0: model" in ended.err and len(list(whole(ended).rglob("model.safetensors"))) == 1
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_whole_sweep_and_it_can_go_on(dlrun, tmp_path, number):
    job = ["data=moons", "model.hidden=[8]", "trainer.epochs=300", "trainer.early_stopping=null", "seed=range(3)"]
    process = subprocess.Popen([sys.executable, "-m", "dlrun", "-m", *job, "data.n_samples=2000"], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.rglob("0/history.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], err
    assert "dlrun resume=" in out
    folder = next((tmp_path / "outputs" / "sweeps").iterdir())
    assert read(folder)["status"] == "interrupted" and read(folder / "0")["status"] == "interrupted"
    again = dlrun("resume=latest", "trainer.max_minutes=0.001")
    assert again.exit_code == 0, again.err
    assert sorted(f.name for f in folder.iterdir() if f.name.isdigit()) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["cv.folds=1"], "cv.folds"),
        (["cv.folds=51"], "fewer rows"),
        (["cv.fold=2"], "cv.fold"),
        (["cv={folds: 3, fold: 4}"], "cv.fold"),
        (["repeats=0"], "repeats"),
        (["learning_curve=[]"], "learning_curve"),
        (["learning_curve=[some]"], "learning_curve"),
        (["learning_curve=[5000]"], "data.train_rows"),
        (["learning_curve=[1.5]"], "data.train_rows"),
        (["data.train_rows=0"], "data.train_rows"),
        (["jobs=0"], "jobs"),
        (["sweep=3"], "sweep"),
        (["sweep={optimzer.lr: [1]}"], "optimizer"),
        (["sweep={initializer: [zeros, one]}"], "ones"),
        (["repeats=2", "launcher._target_=os.system"], "os"),
        (["repeats=2", "launcher._target_=dlrun.cli.main"], "launcher"),
    ],
)
def test_wrong_parts_are_one_line_and_leave_nothing(dlrun, settings, word):
    ended = dlrun("data=iris", "model=logistic", "trainer.epochs=1", *settings)
    assert ended.exit_code == 2 and word in ended.err and not ended.outputs.exists(), ended.err
    several = "cv.folds" in settings[0] or "learning_curve" in settings[0]  # a line for each part that cannot be
    assert ended.err.count("\n") == 1 or several


def test_a_whole_is_not_predicted_with_but_names_its_parts(dlrun):
    ended = dlrun(*IRIS, "repeats=2")
    said = dlrun("predict", "input=x.csv")
    assert said.exit_code == 2 and "repeat_1" in said.err and ended.exit_code == 0


def test_a_dry_run_of_parts_leaves_nothing(dlrun):
    ended = dlrun(*IRIS, "repeats=2", "dry_run=true")
    assert ended.exit_code == 0 and ended.out.count("dry run") == 2 and not ended.outputs.exists()


def test_kfold_is_used_where_nothing_is_stratified(dlrun):
    ended = dlrun("data=diabetes", "model=sklearn/linear", "cv={folds: 5, shuffle: false}")
    for k, (_, test) in enumerate(KFold(5).split(np.zeros(442)), 1):
        assert sorted(rows_tested(whole(ended) / f"fold_{k}")) == test.tolist()


@pytest.mark.slow
def test_new_parallel_jobs_in_a_sweep_dir_have_folders_of_their_own(dlrun):
    dlrun("-m", *IRIS, "seed=5,6", "sweep_dir=mine")
    more = dlrun("-m", *IRIS, "seed=7,8", "sweep_dir=mine", "launcher=joblib", "jobs=2")
    assert more.exit_code == 0, more.err
    folders = {f.name: read(f)["config"]["seed"] for f in (more.outputs.parent / "mine").iterdir() if f.name.isdigit()}
    assert sorted(folders.values()) == [5, 6, 7, 8] and len(folders) == 4


def test_a_part_that_was_killed_before_it_wrote_anything_does_not_stand_in_the_way(dlrun):
    ended = dlrun(*IRIS, "cv.folds=3")
    folder = whole(ended)
    shutil.rmtree(folder / "fold_2")
    (folder / "fold_2").mkdir()
    assert dlrun("resume=latest").exit_code == 0 and (folder / "fold_2" / "model.safetensors").exists()


def test_a_single_run_is_no_sweep_dir(dlrun):
    ended = dlrun(*IRIS)
    before = (ended.folder / "metrics.json").read_bytes()
    refused = dlrun("-m", *IRIS, "seed=1,2", f"sweep_dir={ended.folder}")
    assert refused.exit_code == 2 and "something else" in refused.err
    assert (ended.folder / "metrics.json").read_bytes() == before


def test_parts_from_python_are_what_the_command_makes_of_them(dlrun, tmp_path):
    import dlrun as package

    dlrun(*IRIS, "dry_run=true")
    ran = package.run(*IRIS, "cv.folds=3", "quiet=true")
    assert ran.exit_code == 0 and ran.metrics["parts"] == 3 and (ran.folder / "fold_3").is_dir()


def test_a_misspelt_way_to_split_is_a_mistake_under_folds_too(dlrun, shops):
    for by in ("{groups: shop}", "lst", "{group: shop, time: day}"):
        ended = dlrun(*SHOPS, "cv.folds=3", f"data.split.test.by={by}")
        assert ended.exit_code == 2 and "data.split.test.by" in ended.err and not ended.outputs.exists()
    ended = dlrun(*SHOPS, "cv.folds=3", "data.split.test.stratify=true")
    assert ended.exit_code == 2 and "stratified" in ended.err


def test_what_time_allowed_to_learn_counts_in_the_average(dlrun):
    ended = dlrun("data=digits", "repeats=2", "trainer.max_minutes=0.0001", "trainer.epochs=100")
    assert ended.exit_code == 0 and read(whole(ended))["parts"] == 2
    assert read(whole(ended))["status"] == "interrupted" and "mean" in ended.out


def test_a_search_without_m_is_a_mistake(dlrun):
    ended = dlrun("data=iris", "sweeper=random")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and "-m" in ended.err
