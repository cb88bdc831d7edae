"""`dlrun resume=<run folder>`: go on where a run stopped, in the same folder, to the same bits."""

from __future__ import annotations

from dlrun.config.build import resolve
from dlrun.config.compose import compose
from dlrun.errors import Mistake
from dlrun.runs.conclude import plain
from dlrun.runs.recipe import Job
from dlrun.runs.run import run
from dlrun.store.command_line import trusted_overrides
from dlrun.store.files import flatten
from dlrun.store.finding import open_run
from dlrun.store.folder import RunFolder
from dlrun.store.record import Kind
from dlrun.training.trainer import Trainer

CHANGEABLE = ("trainer.epochs", "trainer.max_minutes", "device", "quiet", "debug", "allow_targets")
CHANGEABLE_OF_WHOLES = ("jobs", "launcher", "sweeper.trials", *CHANGEABLE[1:])


def resume(path: str, changes: list[str], config_dir: str | None) -> int:
    """Go on with the run in folder `path`.

    Args:
        path: a run folder, or `latest`.
        changes: overrides of the keys in CHANGEABLE.
        config_dir: the folder with the user's own groups, if the run used any.

    Returns:
        The exit code of the run; 0 where there is nothing left to do.

    Raises:
        Mistake: no run folder, a setting that may not change, or data or config that are not what they were.
    """
    folder = open_run(path)
    record = folder.record()
    if record.kind != "run":
        return _resume_several(folder, record.kind, changes, config_dir)
    _refuse_changes(changes, CHANGEABLE, "a run is resumed")
    config, choices = compose(trusted_overrides(folder) + changes, config_dir)
    before, now = dict(flatten(folder.config())), dict(flatten(plain(config)))
    resumes = resolve(config.trainer, "trainer", Trainer, tuple(config.allow_targets)).resumes
    longer = resumes and now["trainer.epochs"] > before.get("trainer.epochs", 0)
    if longer and _schedule_depends_on_length(before):
        raise Mistake("trainer.epochs: cannot change when this run is resumed, for its schedule's length depends on it")
    _refuse_other_config(folder, before, now)
    if record.status == "diverged" or (record.status == "finished" and not longer):
        print(f"{folder}: this run has {record.status}; there is nothing to resume")
        return 0
    overrides = [o for o in trusted_overrides(folder) + changes if not o.startswith("allow_targets=")]
    folder.update(overrides, plain(config))
    ended = run(Job(config, choices, overrides), folder, resumes=True)
    return ended.exit_code


def _resume_several(folder: RunFolder, kind: Kind, changes: list[str], config_dir: str | None) -> int:
    """Go on with a sweep or with the parts of a run: what is missing, failed or was interrupted is run.

    Raises:
        Mistake: a setting that may not change.
    """
    from dlrun.sweeps.sweep import run_whole

    _refuse_changes(changes, CHANGEABLE_OF_WHOLES, "parts are resumed")
    return run_whole([*trusted_overrides(folder), *changes], kind == "sweep", config_dir, folder)


def _refuse_changes(changes: list[str], allowed: tuple[str, ...], when: str) -> None:
    for change in changes:
        key = change.partition("=")[0].lstrip("+~")
        if key not in allowed:
            raise Mistake(f"{key}: cannot change when {when} (only {', '.join(allowed)} can)")


def _refuse_other_config(folder: RunFolder, before: dict, now: dict) -> None:
    for key in sorted(before.keys()):  # a key that there was not yet has its default, which is what there was
        if key not in CHANGEABLE and key != "output_dir" and before.get(key) != now.get(key):
            raise Mistake(
                f"{folder}: {key} is {now.get(key)!r} now and was {before.get(key)!r} when the run began; "
                "it cannot be resumed"
            )


def _schedule_depends_on_length(config: dict) -> bool:
    return any(
        config.get(f"scheduler.class.{name}", 0) in (None, config.get("trainer.epochs"))
        for name in ("total_steps", "T_max")
    )
