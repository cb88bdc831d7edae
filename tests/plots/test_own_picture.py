"""A picture of one's own, from the docs: drawn after a run, later, beside the others, and under resume."""

import pytest
import yaml

pytestmark = pytest.mark.pictures
OWN = ("--config-dir", "conf")
DIABETES = ("data=diabetes", "model=linear", "trainer.epochs=2")


@pytest.fixture
def own(from_docs, dlrun):
    """Run dlrun where the files of the page on pictures lie."""
    from_docs("own_picture.md", "my_plots")
    return lambda *arguments: dlrun(*OWN, *arguments)


def drawn(ended) -> set[str]:
    return {file.stem for file in (ended.folder / "plots").glob("*.png")}


def test_it_is_drawn_beside_the_others_and_the_run_folder_says_what_it_was(own):
    ended = own(*DIABETES, "plots=[all,errors]")
    assert ended.exit_code == 0, ended.err
    assert {"errors", "residuals", "learning_curves"} <= drawn(ended)
    stored = yaml.safe_load((ended.folder / "config.yaml").read_text())["plots"]
    assert stored == ["all", {"name": "errors", "_target_": "my_plots.errors", "bins": 30}]


def test_plot_draws_it_later_and_a_run_that_goes_on_draws_it_again(own):
    ended = own(*DIABETES, "plots=[]")
    assert not (ended.folder / "plots").exists()
    later = own("plot", "plots=[errors]")
    assert later.exit_code == 0 and drawn(ended) == {"errors"}, later.err
    own(*DIABETES, "plots=[errors]", "output_dir=others", "trainer.keep_checkpoints=true")
    folder = next((ended.outputs.parent / "others").glob("*/*"))
    (folder / "plots" / "errors.png").unlink()
    assert own(f"resume={folder}", "trainer.epochs=3").exit_code == 0
    assert (folder / "plots" / "errors.png").is_file()


def test_where_it_has_nothing_to_draw_it_says_so(own):
    ended = own("data=iris", "model=logistic", "trainer.epochs=1", "plots=[errors]")
    assert ended.exit_code == 0 and "nothing to draw as errors" in ended.out


def test_the_jobs_of_a_sweep_draw_it(own):
    ended = own("-m", *DIABETES, "seed=1,2", "plots=[errors]")
    assert ended.exit_code == 0, ended.err
    assert len(list(ended.outputs.rglob("errors.png"))) == 2


def test_one_that_is_called_like_one_of_ours_stands_for_it(own, tmp_path):
    (tmp_path / "conf" / "plot" / "errors.yaml").rename(tmp_path / "conf" / "plot" / "residuals.yaml")
    ended = own(*DIABETES, "plots=[residuals]")
    assert drawn(ended) == {"residuals"}
    stored = yaml.safe_load((ended.folder / "config.yaml").read_text())["plots"]
    assert [entry["_target_"] for entry in stored] == ["my_plots.errors"]


def test_other_commands_do_not_ask_for_it_again(own, dlrun):
    own(*DIABETES, "plots=[errors]")
    assert dlrun("eval").exit_code == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [("plots=[erors]", "plot/erors.yaml"), ("plots=errors", "plots: a list"),
     ("plots=[{name: x, _target_: my_plots.errors, bin: 3}]", "did you mean 'bins'"),
     ("plots=[{name: ../x, _target_: my_plots.errors}]", "no name for a picture"),
     ("plots=[{name: x, _target_: my_plots.errors, run: 3}]", "is the finished run"),
     ("plots=[{name: x, _target_: my_plots.eror}]", "no 'eror'"),
     ("plots=[{name: x, _target_: os.system}]", "allow_targets=[os]")],
)  # fmt: skip
def test_what_cannot_be_a_picture_is_one_line_before_anything_is_trained(own, change, word):
    ended = own(*DIABETES, change)
    assert ended.exit_code == 2 and ended.err.count("\n") == 1 and word in ended.err, ended.err
    assert not ended.outputs.exists()


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_function_that_gives_no_figure_is_named_and_the_run_is_kept(own, tmp_path, epochs):
    module = tmp_path / "my_plots.py"
    module.write_text(module.read_text().replace("return figure", "return axes"))
    ended = own(*DIABETES, f"trainer.epochs={epochs}", "plots=[errors]")
    assert ended.exit_code == 2 and "plots.errors: must give a matplotlib Figure or None" in ended.err
    assert ended.metrics["status"] == "finished"


def test_pictures_are_looked_up_without_matplotlib(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from dlrun.plots.draw import read_pictures; pictures = read_pictures(['all'], ());"
        "print(len(pictures), 'matplotlib' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ended.stdout.split() == ["15", "False"]
