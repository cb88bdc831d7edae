"""A run that was killed, interrupted or ended goes on to the same bits as one that never stopped."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from conftest import SIGNALS, run_folders
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlrun.runs import conclude

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kill_and_resume.py"
spec = importlib.util.spec_from_file_location("kill_and_resume", SCRIPT)
kills = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kills)

SMALL = ("data=moons", "model.hidden=[8]", "model.dropout=0.2", "trainer.early_stopping.patience=100")
KEPT = (*SMALL, "trainer.keep_checkpoints=true")


@pytest.mark.slow
@pytest.mark.parametrize("job", [job for job in kills.JOBS if "one after the other" not in job])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, job):
    moments = (0.1,) if "two at once" in job else (0.5,)
    places = [tmp_path / str(name) for name in ("whole", *moments)]
    for place in places:
        place.mkdir()
    expected, seconds = kills.train_whole(kills.JOBS[job], places[0])
    for place, share in zip(places[1:], moments, strict=True):
        assert kills.kill_and_resume(kills.JOBS[job], place, share * seconds) == expected


def test_more_epochs_later_equal_more_epochs_at_once(dlrun):
    whole = dlrun(*SMALL, "trainer.epochs=6", into="whole")
    dlrun(*KEPT, "trainer.epochs=2", into="parts")
    parts = dlrun("resume=latest", "trainer.epochs=6", into="parts")
    assert parts.exit_code == 0, parts.err
    assert kills.digests(parts.folder) == kills.digests(whole.folder)
    assert parts.metrics["epochs"] == 6 and parts.metrics["config"]["trainer.epochs"] == 6
    events = EventAccumulator(str(parts.folder))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


def test_what_was_logged_after_the_checkpoint_is_logged_once(dlrun):
    whole = dlrun(*SMALL, "trainer.epochs=5", into="whole")
    cut = dlrun(*KEPT, "trainer.epochs=3", into="cut")
    with open(cut.folder / "history.csv", "a") as file:  # an epoch beyond the checkpoint, and a torn line
        file.write("4,0.001,0.5,0.5,0.5,0.5\n5,0.0")
    dlrun("resume=latest", "trainer.epochs=5", into="cut")
    assert (cut.folder / "history.csv").read_bytes() == (whole.folder / "history.csv").read_bytes()


def test_a_run_killed_before_its_first_checkpoint_begins_anew_in_its_folder(dlrun):
    whole = dlrun(*SMALL, "trainer.epochs=3", into="whole")
    killed = dlrun(*KEPT, "trainer.epochs=3", into="killed")
    (killed.folder / "checkpoints" / "last.pt").unlink()
    torn = killed.folder / "checkpoints" / ".last.pt.0a1b2c.part"
    torn.write_bytes(b"half")
    (killed.folder / "metrics.json").write_text('{"status": "running", "kind": "run"}')
    assert dlrun("resume=latest", into="killed").exit_code == 0
    assert not torn.exists()
    assert kills.digests(killed.folder) == kills.digests(whole.folder)


def test_a_finished_run_says_so_and_stays_as_it_is(dlrun):
    ended = dlrun(*SMALL, "trainer.epochs=2")
    before = {path: path.stat().st_mtime_ns for path in ended.folder.rglob("*")}
    again = dlrun("resume=latest")
    assert again.exit_code == 0 and "nothing to resume" in again.out
    assert {path: path.stat().st_mtime_ns for path in ended.folder.rglob("*")} == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_at_the_next_step_and_tells_how_to_resume(dlrun, tmp_path, number):
    whole = dlrun(*SMALL, "trainer.epochs=150", "trainer.early_stopping=null", into="whole")
    command = [sys.executable, "-m", "dlrun", *SMALL, "plots=[]", "trainer.epochs=150", "trainer.early_stopping=null"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    folder = kills.run_folder(tmp_path, process)
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            process.send_signal(number)
            break
    rest = process.stdout.read()
    assert process.wait() == 128 + number
    assert f"dlrun resume={folder.relative_to(tmp_path)}" in rest
    assert json.loads((folder / "metrics.json").read_text())["status"] == "interrupted"
    assert dlrun(f"resume={folder}").exit_code == 0
    assert kills.digests(folder) == kills.digests(whole.folder)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_during_the_evaluation_loses_nothing_that_was_learned(dlrun, monkeypatch, number):
    def interrupted(*args, **settings):
        os.kill(os.getpid(), number)
        return evaluate(*args, **settings)

    evaluate = conclude.evaluate
    monkeypatch.setattr(conclude, "evaluate", interrupted)
    ended = dlrun(*SMALL, "trainer.epochs=1")
    assert ended.exit_code == 0 and ended.metrics["status"] == "finished" and ended.metrics["test"]["accuracy"] > 0


def test_a_run_of_no_epochs_can_be_given_some_later(dlrun):
    ended = dlrun(*KEPT, "trainer.epochs=0")
    assert dlrun(f"resume={ended.folder}", "trainer.epochs=2").exit_code == 0 and ended.metrics["epochs"] == 2


def test_a_time_limit_stops_and_evaluates_and_the_run_can_go_on(dlrun):
    ended = dlrun(*SMALL, "trainer.epochs=3", "trainer.max_minutes=1e-6")
    assert ended.exit_code == 0 and ended.metrics["status"] == "interrupted"
    assert ended.metrics["test"]["accuracy"] > 0 and "dlrun resume=" in ended.out
    whole = dlrun(*SMALL, "trainer.epochs=3", into="whole")
    assert dlrun(f"resume={ended.folder}", "trainer.max_minutes=null").exit_code == 0
    assert kills.digests(run_folders(ended.outputs)[0]) == kills.digests(whole.folder)


def test_a_repeated_run_says_that_its_bits_are_the_same_or_what_differs(dlrun):
    first = dlrun(*SMALL, "trainer.epochs=2").folder
    same = dlrun(f"run={first}")
    assert same.exit_code == 0 and f"the same bits as {first}" in same.out
    other = dlrun(f"run={first}", "seed=1")
    assert "other bits" in other.out and "seed=1" in other.out
    environment = json.loads((first / "environment.json").read_text())
    (first / "environment.json").write_text(json.dumps({**environment, "torch": "1.0"}))
    (first / "history.csv").write_text("")
    assert "torch: 1.0 then" in dlrun(f"run={first}").out


@pytest.fixture
def finished(dlrun):
    return dlrun(*KEPT, "trainer.epochs=2").folder


def refused(ended, *words):
    assert ended.exit_code == 2 and ended.err.count("\n") == 1, (ended.out, ended.err)
    for word in words:
        assert word in ended.err, ended.err


def test_resuming_with_another_setting_is_a_mistake(dlrun, finished):
    refused(dlrun(f"resume={finished}", "model.hidden=[9]"), "model.hidden", "trainer.epochs")
    refused(dlrun(f"resume={finished}", "-m"), "resume")


def test_resuming_what_is_no_run_folder_is_a_mistake(dlrun, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(dlrun("resume=empty"), "empty", "no run folder")
    refused(dlrun("resume=nowhere"), "nowhere")
    refused(dlrun("resume=latest"), "latest")


def test_resuming_on_changed_data_is_a_mistake(dlrun, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b,y\n" + "".join(f"{i % 7},{i % 5}.5,{'no' if i % 3 else 'yes'}\n" for i in range(60)))
    ended = dlrun("data=csv", "data.path=t.csv", "data.target=y", "trainer.epochs=1", "trainer.keep_checkpoints=true")
    table.write_text(table.read_text().replace("4.5", "4.6"))
    refused(dlrun(f"resume={ended.folder}", "trainer.epochs=2"), "data have changed")


def test_resuming_a_longer_training_under_a_schedule_of_fixed_length_is_a_mistake(dlrun):
    ended = dlrun(*SMALL, "scheduler=cosine", "trainer.epochs=2")
    refused(dlrun(f"resume={ended.folder}", "trainer.epochs=4"), "schedule's length")


def test_a_checkpoint_cut_in_half_is_a_mistake_and_nothing_else_is_harmed(dlrun, finished):
    checkpoint = finished / "checkpoints" / "last.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:2000])
    weights = (finished / "model.safetensors").read_bytes()
    refused(dlrun(f"resume={finished}", "trainer.epochs=4"), "last.pt", "cut short")
    assert (finished / "model.safetensors").read_bytes() == weights


def test_a_checkpoint_of_another_model_is_a_mistake(dlrun, finished):
    other = dlrun(
        "data=moons", "model.hidden=[9]", "trainer.epochs=2", "trainer.keep_checkpoints=true", into="other"
    ).folder
    (finished / "checkpoints" / "last.pt").write_bytes((other / "checkpoints" / "last.pt").read_bytes())
    refused(dlrun(f"resume={finished}", "trainer.epochs=4"), "another model")


class Touch:
    """Unpickled, creates the marker file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, "w")


def evil(folder, marker):
    """A package in the run folder that leaves the marker when imported."""
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\nfrom torch.nn import Linear as Net\n")
    return "evil.Net"


HOSTILE = {
    "a target of the system's": lambda folder, marker: overrides(
        folder, "data._target_=os.mkdir", f"+data.path={marker}", "~data.n_samples", "~data.noise", "~data.random_state"
    ),
    "an alias of a target of the system's": lambda folder, marker: overrides(
        folder, "data._target_=dlrun.cli.os.mkdir", f"+data.path={marker}"
    ),
    "a package that it allows itself": lambda folder, marker: overrides(
        folder, f"allow_targets=[{evil(folder, marker).split('.')[0]}]", "model._target_=evil.Net"
    ),
    "a search path for Hydra": lambda folder, marker: overrides(folder, "hydra.searchpath=[file:///tmp]"),
    "a callback of Hydra's": lambda folder, marker: overrides(folder, "+hydra.callbacks.x._target_=os.system"),
    "a launcher of Hydra's": lambda folder, marker: overrides(folder, "hydra/launcher=basic"),
    "a file to download to a place of its choice": lambda folder, marker: overrides(
        folder, "data=banknotes", f"data.file.path={marker}", f"data.file.url=file://{folder}/metrics.json"
    ),
    "data of its own": lambda folder, marker: overrides(
        folder, f"++data={{file: {{url: 'file://{folder}', path: x, sha256: x}}}}"
    ),
    "an allowed package by its number": lambda folder, marker: overrides(
        folder, "+allow_targets.0=evil", f"model._target_={evil(folder, marker)}"
    ),
    "a sweep that sets what a folder may not": lambda folder, marker: whole_of(
        folder, f"sweep=[{{allow_targets: [os, posix], data._target_: os.mkdir, +data.path: {marker}}}]"
    ),
    "a sweep of Hydra's own settings": lambda folder, marker: whole_of(
        folder, "sweep=[{hydra.searchpath: [file:///tmp]}]"
    ),
    "a search that sets what a folder may not": lambda folder, marker: whole_of(
        folder, "sweeper=random", "sweeper.space={data._target_: 'choice(os.mkdir)', allow_targets: 'choice([os])'}"
    ),
    "a search among spaces that sets what a folder may not": lambda folder, marker: whole_of(
        folder,
        "sweeper=random",
        "sweeper.space=[{data._target_: os.mkdir, allow_targets: 'choice([os])'}, {model: mlp}]",
    ),
    "an analyzer of the system's": lambda folder, marker: overrides(
        folder, "data=text", "data.path=x.csv", "data.text=a", "data.target=b", "data.analyzer=os.system"
    ),
    "a searcher of its own": lambda folder, marker: whole_of(folder, "sweeper._target_=os.system"),
    "a table that leads out of the folder": lambda folder, marker: (
        whole_of(folder, "repeats=2"),
        (folder / "sweep.csv").symlink_to(marker),
    ),
    "overrides that are code": lambda folder, marker: (folder / "overrides.yaml").write_text(
        f"!!python/object/apply:os.system ['touch {marker}']"
    ),
    "a pickle for a checkpoint": lambda folder, marker: torch.save(
        {"model": Touch(marker)}, folder / "checkpoints" / "last.pt"
    ),
    "a metric that writes a file": lambda folder, marker: overrides(
        folder, f"metrics=[{{_target_: sklearn.datasets.dump_svmlight_file, f: {marker}, multilabel: true}}]"
    ),
    "a picture that writes a file": lambda folder, marker: overrides(
        folder, f"plots=[{{_target_: torch.save, f: {marker}}}]"
    ),
    "a link out of the folder": lambda folder, marker: link(folder / "overrides.yaml", "/etc/hostname"),
}


def overrides(folder, *lines):
    (folder / "overrides.yaml").write_text(yaml.safe_dump([*KEPT, "trainer.epochs=2", *lines]))


def whole_of(folder, *lines):
    overrides(folder, *lines)
    (folder / "metrics.json").write_text('{"status": "interrupted", "kind": "parts"}')


def link(path, target):
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_run_folder_runs_no_code(dlrun, finished, tmp_path, monkeypatch, name):
    marker = tmp_path / "marker"
    HOSTILE[name](finished, marker)
    monkeypatch.syspath_prepend(finished)
    longer = [] if json.loads((finished / "metrics.json").read_text())["kind"] != "run" else ["trainer.epochs=4"]
    refused(dlrun(f"resume={finished}", *longer))
    repeated = dlrun(f"run={finished}")
    if name not in (
        "a pickle for a checkpoint",
        "a table that leads out of the folder",
    ):  # a repeat needs no checkpoint, and trains as ever
        refused(repeated)
    assert not marker.exists()


def test_a_package_in_a_run_folder_is_not_trusted_because_of_the_users_config_folder(dlrun, finished, tmp_path):
    marker = tmp_path / "marker"
    evil(finished, marker)
    (tmp_path / "conf").mkdir()
    (tmp_path / finished.name.replace("-", "_")).symlink_to(finished)
    overrides(finished, f"model._target_={finished.name.replace('-', '_')}.evil.Net")
    refused(dlrun(f"run={finished}", "--config-dir", "conf"), "allow_targets")
    assert not marker.exists()


def test_a_full_disk_is_one_line(dlrun, monkeypatch):
    import errno

    from dlrun.store.folder import RunFolder

    def full(*_):
        from dlrun.store.files import writing

        with writing(Path("outputs")):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "append_row", full)
    refused(dlrun(*SMALL, "trainer.epochs=2"), "disk is full")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a device that is always full")
def test_a_folder_deleted_while_running_is_one_line(tmp_path):
    command = [sys.executable, "-m", "dlrun", *SMALL, "trainer.epochs=2000", "quiet=true"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    folder = kills.run_folder(tmp_path, process)
    while not (folder / "history.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    folder.rename(tmp_path / "gone")
    assert process.wait() == 2
    error = process.stderr.read()
    assert "the folder is gone" in error and error.count("\n") == 1


def test_history_and_timing_have_one_row_an_epoch(finished):
    for name in ("history.csv", "timing.csv"):
        assert [row["epoch"] for row in csv.DictReader((finished / name).read_text().splitlines())] == ["1", "2"]
