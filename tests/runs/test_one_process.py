"""One process works in a run folder at a time, what has finished keeps no checkpoint, and data may have moved."""

import json
import shutil
import subprocess
import sys

import pytest

from dlrun.errors import Mistake
from dlrun.store.lock import is_worked_in, working_in

MOONS = ("data=moons", "model.hidden=[8]", "trainer.epochs=2")
TABLE = "a,b,y\n" + "".join(f"{i % 7},{i % 5}.5,{'no' if i % 3 else 'yes'}\n" for i in range(60))


def test_a_folder_is_held_by_one_and_free_again_afterwards(tmp_path):
    with working_in(tmp_path):
        assert is_worked_in(tmp_path)
        with pytest.raises(Mistake, match="another process"), working_in(tmp_path):
            pass
    assert not is_worked_in(tmp_path) and not list(tmp_path.iterdir())


def test_a_process_that_was_killed_keeps_nobody_out(tmp_path):
    code = "import os, pathlib, sys; from dlrun.store.lock import working_in\n" \
           "with working_in(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode != 0
    assert list(tmp_path.iterdir()) and not is_worked_in(tmp_path)
    with working_in(tmp_path):
        assert is_worked_in(tmp_path)


def test_a_second_resume_is_one_line_and_changes_nothing(dlrun):
    folder = dlrun(*MOONS, "trainer.keep_checkpoints=true").folder
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with working_in(folder):
        second = dlrun(f"resume={folder}", "trainer.epochs=4")
    assert second.exit_code == 2 and second.err.count("\n") == 1 and "another process" in second.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert dlrun(f"resume={folder}", "trainer.epochs=4").exit_code == 0


def test_a_second_sweep_in_one_sweep_dir_is_one_line(dlrun, tmp_path):
    job = ("-m", "data=iris", "model=logistic", "trainer.epochs=1", "seed=1,2", "sweep_dir=mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.lock").touch()  # of a process that was killed before it wrote anything
    folder = dlrun(*job).outputs.parent / "mine"
    with working_in(folder):
        second = dlrun(*job)
    assert second.exit_code == 2 and second.err.count("\n") == 1 and "another process" in second.err
    assert dlrun(*job).exit_code == 0


def test_predict_does_not_advise_to_resume_what_is_being_trained(dlrun):
    folder = dlrun(*MOONS).folder
    for name in ("preprocessing.json", "model.safetensors"):
        (folder / name).unlink()
    (folder / "metrics.json").write_text(json.dumps({"status": "running", "kind": "run"}))
    assert "resume=" in dlrun("predict", "input=x.csv").err
    with working_in(folder):
        waits = dlrun("predict", "input=x.csv")
    assert waits.exit_code == 2 and "being trained" in waits.err and "resume" not in waits.err


def test_a_link_in_the_place_of_the_lock_is_refused(dlrun, tmp_path):
    folder = dlrun(*MOONS, "trainer.keep_checkpoints=true").folder
    (folder / "run.lock").symlink_to(tmp_path / "outside")
    ended = dlrun(f"resume={folder}", "trainer.epochs=4")
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and not (tmp_path / "outside").exists()


def test_a_finished_run_keeps_its_checkpoint_only_on_request_and_says_what_more_epochs_need(dlrun):
    ended = dlrun(*MOONS)
    assert not (ended.folder / "checkpoints").exists()
    refused = dlrun(f"resume={ended.folder}", "trainer.epochs=4")
    assert refused.exit_code == 2 and refused.err.count("\n") == 1 and "trainer.keep_checkpoints=true" in refused.err
    assert ended.metrics["status"] == "finished"


def test_a_table_that_has_moved_can_be_named_anew_where_it_is_the_same(dlrun, tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    job = ("data=csv", "data.target=y", "trainer.epochs=2", "trainer.keep_checkpoints=true")
    folder = dlrun(*job, "data.path=t.csv").folder
    shutil.move(tmp_path / "t.csv", tmp_path / "moved.csv")
    assert "t.csv" in dlrun(f"resume={folder}", "trainer.epochs=3").err
    longer = dlrun(f"resume={folder}", "trainer.epochs=3", "data.path=moved.csv")
    assert longer.exit_code == 0 and longer.metrics["epochs"] == 3, longer.err
    (tmp_path / "other.csv").write_text(TABLE.replace("4.5", "4.6"))
    other = dlrun(f"resume={folder}", "trainer.epochs=4", "data.path=other.csv")
    assert other.exit_code == 2 and "data have changed" in other.err


@pytest.mark.parametrize("where", ["", "data_dir=tables"])
def test_a_run_is_resumed_repeated_and_judged_from_any_folder(dlrun, tmp_path, where):
    (tmp_path / "home" / "tables").mkdir(parents=True)
    (tmp_path / "home" / "tables" / "t.csv").write_text(TABLE)
    path = "data.path=t.csv" if where else "data.path=tables/t.csv"
    job = ("data=csv", "data.target=y", path, *filter(None, [where]), "trainer.keep_checkpoints=true")
    folder = dlrun(*job, "trainer.epochs=2", into="home").folder
    whole = dlrun(*job, "trainer.epochs=4", "output_dir=whole", into="home")
    for command in (["eval", f"run={folder}"], [f"run={folder}"], [f"resume={folder}", "trainer.epochs=4"]):
        ended = dlrun(*command, into="elsewhere")
        assert ended.exit_code == 0, ended.err
    assert "the same bits as" in dlrun(f"run={folder}", into="elsewhere").out
    assert whole.exit_code == 0 and json.loads((folder / "metrics.json").read_text())["epochs"] == 4
    swept = dlrun("-m", *job, "trainer.epochs=1", "seed=1,2", "output_dir=swept", into="home")
    sweep = next((swept.outputs.parent / "swept").glob("sweeps/*"))
    shutil.rmtree(sweep / "1")
    trained = (sweep / "0" / "model.safetensors").stat().st_mtime_ns
    again = dlrun(f"resume={sweep}", into="elsewhere")
    assert again.exit_code == 0 and (sweep / "1" / "metrics.json").is_file(), again.err
    assert (sweep / "0" / "model.safetensors").stat().st_mtime_ns == trained  # known again, and not trained anew


def test_a_path_that_an_experiment_names_is_found_from_any_folder(dlrun, tmp_path):
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "t.csv").write_text(TABLE)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /data: csv\ndata: {path: t.csv, target: y}\n"
        "trainer: {epochs: 2, keep_checkpoints: true}\n"
    )
    own = ["--config-dir", str(tmp_path / "conf")]
    ended = dlrun(*own, "experiment=mine", into="home")
    assert ended.exit_code == 0, ended.err
    for command in (["eval", f"run={ended.folder}"], [f"resume={ended.folder}", "trainer.epochs=4"]):
        again = dlrun(*own, *command, into="elsewhere")
        assert again.exit_code == 0, again.err


def test_a_data_dir_that_was_switched_off_stays_off_from_any_folder(dlrun):
    ended = dlrun("data=iris", "model=logistic", "data_dir=null", "trainer.epochs=1", into="home")
    again = dlrun(f"run={ended.folder}", into="elsewhere")
    assert again.exit_code == 0 and again.metrics["config"]["data_dir"] is None, again.err
