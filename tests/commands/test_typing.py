"""What people type by habit gets one line with what dlrun calls it; warnings stay with the figures they are about."""

import signal

import pytest


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("epochs=5", ["trainer.epochs"]), ("lr=0.1", ["optimizer.lr"]), ("Trainer.epochs=5", ["trainer"]),
        ("--trainer.epochs=5", ["without dashes", "trainer.epochs=5"]), ("hydra.run.dir=x", ["output_dir"]),
        ("hydra.verbose=true", ["debug"]), ("hydra/launcher=joblib", ["launcher"]), ("hydra/sweeper=x", ["sweeper"]),
    ],
)  # fmt: skip
def test_the_key_that_is_meant_is_offered(dlrun, typed, words):
    ended = dlrun(typed)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and not ended.outputs.exists()
    assert all(word in ended.err for word in words), ended.err


@pytest.mark.parametrize(
    "command", ["predict", "eval", "compare", "list", "plot", "report", "export", "generate", "show"]
)
def test_the_help_of_a_command_has_its_arguments(dlrun, command):
    ended = dlrun(command, "--help")
    assert ended.exit_code == 0 and ended.out.startswith(f"dlrun {command}") and "Args:" in ended.out
    assert "Raises" not in ended.out


def test_warnings_about_the_data_stand_under_every_table_that_shows_the_figures(dlrun):
    warning = "warning: the test rows are the validation rows too"
    settings = ("data=iris", "model=mlp", "trainer.epochs=2", "data.split.valid.by=test")
    alone = dlrun(*settings, into="alone")
    assert alone.metrics["notes"][-1].startswith(warning) and warning in alone.out
    swept = dlrun("-m", *settings, "optimizer.lr=0.1,0.01", into="sweep")
    assert warning in swept.out
    assert warning in dlrun("compare", "outputs", into="sweep").out
    assert warning in dlrun(*settings, "repeats=2", into="repeats").out
    assert dlrun("report", "outputs", into="sweep").exit_code == 0
    assert warning in (swept.outputs.parent / "report.html").read_text()


def test_more_epochs_after_early_stopping_need_more_patience_and_then_train_on(dlrun):
    ended = dlrun("data=digits", "trainer.epochs=40", "trainer.early_stopping.patience=2", "optimizer.lr=0.01",
                  "trainer.keep_checkpoints=true")  # fmt: skip
    epochs = ended.metrics["epochs"]
    assert epochs < 40
    refused = dlrun(f"resume={ended.folder}", "trainer.epochs=60")
    assert refused.exit_code == 2 and "patience" in refused.err and ended.metrics["status"] == "finished"
    longer = dlrun(f"resume={ended.folder}", "trainer.epochs=60", "trainer.early_stopping.patience=6")
    assert longer.exit_code == 0, longer.err
    assert ended.metrics["epochs"] > epochs


def test_a_monitored_value_that_is_undefined_stops_nothing(dlrun, tmp_path):
    rows = [f"{i},{i % 7},{int(i in (3, 9))}" for i in range(60)]
    (tmp_path / "t.csv").write_text("a,b,y\n" + "\n".join(rows) + "\n")
    settings = ("data=csv", "data.path=t.csv", "data.target=y", "data.split.valid.by=last", "model=mlp")
    ended = dlrun(*settings, "data.split.test=null", "trainer.early_stopping.monitor=valid/roc_auc",
                  "trainer.early_stopping.patience=2", "trainer.epochs=6")  # fmt: skip
    assert ended.exit_code == 0, ended.err
    assert ended.metrics["epochs"] == 6 and "valid/roc_auc was undefined in every epoch" in ended.out


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no SIGUSR1")
def test_slurms_warning_saves_and_stops_like_sigterm(dlrun, monkeypatch):
    from dlrun.training.recorder import Recorder

    whole = Recorder.on_epoch

    def warned(self, training, logged):
        signal.raise_signal(signal.SIGUSR1)
        return whole(self, training, logged)

    monkeypatch.setattr(Recorder, "on_epoch", warned)
    ended = dlrun("data=digits", "trainer.epochs=5")
    assert ended.exit_code == 143 and ended.metrics["status"] == "interrupted"
    assert (ended.folder / "checkpoints" / "last.pt").is_file()
