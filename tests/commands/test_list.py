"""`dlrun list` and `dlrun show`: what there is to choose, with its settings, and what has been run."""

from dlrun.config.groups import GROUPS, chosen_as, config_folder


def test_every_group_is_listed_with_a_line_on_each_choice_and_its_settings(dlrun):
    for group in GROUPS:
        said = dlrun("list", group)
        assert said.exit_code == 0, said.err
        for file in (config_folder() / group).rglob("*.yaml"):
            name = file.relative_to(config_folder() / group).with_suffix("").as_posix()
            assert f"{chosen_as(group, name)}  " in said.out
    assert "hidden=[300, 100]" in dlrun("list", "model").out
    assert "plots=[roc]  ROC curves" in dlrun("list", "plot").out


def test_a_choice_is_shown_with_what_its_settings_mean(dlrun):
    said = dlrun("show", "lstm")
    assert "units of each recurrent layer" in said.out and "Hochreiter" in said.out
    assert dlrun("show", "model=lstm").out == said.out
    assert "torch.optim.Adam" in dlrun("show", "adam").out


def test_runs_are_listed_the_newest_first_with_their_figure_name_and_note(dlrun):
    dlrun("data=iris", "trainer.epochs=1", "name=first try", "note=too short")
    dlrun("data=moons", "trainer.epochs=2")
    said = dlrun("list", "runs")
    assert said.exit_code == 0 and "first try" in said.out and "too short" in said.out and "valid/loss" in said.out


def test_what_is_not_there_is_one_line(dlrun):
    for arguments, word in (
        (["list"], "data"), (["list", "modl"], "model"), (["show", "lstn"], "lstm"), (["show"], "mlp"),
        (["list", "runs"], "outputs"),
    ):  # fmt: skip
        said = dlrun(*arguments)
        assert said.exit_code == 2 and said.err.count("\n") == 1 and word in said.err, said.err
