"""`dlrun resume=<run folder>`: go on where a run stopped, in the same folder, to the same bits."""

from __future__ import annotations

from collections.abc import Callable

from dlrun.config.compose import compose
from dlrun.config.schema import KEYS, key_of
from dlrun.errors import Mistake
from dlrun.runs.recipe import plain, read_recipe
from dlrun.runs.run import run
from dlrun.store.command_line import trusted_overrides
from dlrun.store.files import flatten
from dlrun.store.finding import open_run
from dlrun.store.folder import RunFolder
from dlrun.store.record import Kind, Record


def resume(path: str, changes: list[str], config_dir: str | None) -> int:
    """Go on with the run in folder `path`.

    Args:
        path: a run folder, or `latest`.
        changes: overrides of keys that may change (`resumable` in config/schema.py).
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
    _refuse_changes(changes, lambda key: key_of(key).resumable, "a run is resumed")
    overrides = trusted_overrides(folder) + changes
    composed = compose(overrides, config_dir)
    before, now = dict(flatten(folder.config())), dict(flatten(plain(composed.config)))
    recipe = read_recipe(composed)
    resumes = recipe.fitter.checkpoint_every is not None
    longer = resumes and _asks_for_more_epochs(now["trainer.epochs"], before.get("trainer.epochs"), record)
    if longer and _schedule_depends_on_length(before):
        raise Mistake("trainer.epochs: cannot change when this run is resumed, for its schedule's length depends on it")
    _refuse_other_config(folder, before, now)
    patience = "trainer.early_stopping.patience"
    if longer and _stopped_early(record, before) and before.get(patience) == now.get(patience):
        raise Mistake(
            f"{folder}: stopped early after epoch {record.epochs:g}, the best one being {record.best_epoch:g}; more "
            f"epochs change nothing unless {patience}=… is raised with them"
        )
    if record.status == "diverged" or (record.status == "finished" and not longer):
        print(f"{folder}: this run has {record.status}; there is nothing to resume")
        return 0
    if record.status == "finished" and not folder.has_checkpoint:
        raise Mistake(
            f"{folder}: has finished, and its checkpoint is gone; train it anew with more epochs, and with "
            "trainer.keep_checkpoints=true if it is to go on later"
        )
    ended = run(recipe, folder, resumes=True)
    return ended.exit_code if ended else 0


def _resume_several(folder: RunFolder, kind: Kind, changes: list[str], config_dir: str | None) -> int:
    """Go on with a sweep or with the parts of a run: what is missing, failed or was interrupted is run.

    Raises:
        Mistake: a setting that may not change.
    """
    from dlrun.sweeps.sweep import run_whole

    _refuse_changes(changes, lambda key: key_of(key).resumable_parts, "parts are resumed")
    return run_whole([*trusted_overrides(folder), *changes], kind == "sweep", config_dir, folder)


def _refuse_changes(changes: list[str], may_change: Callable[[str], bool], when: str) -> None:
    for change in changes:
        key = change.partition("=")[0].lstrip("+~")
        if not may_change(key):
            known = ", ".join(name for name in KEYS if may_change(name))
            raise Mistake(f"{key}: cannot change when {when} (only {known} can)")


def _refuse_other_config(folder: RunFolder, before: dict[str, object], now: dict[str, object]) -> None:
    for name in sorted(before):  # a key that there was not yet has its default, which is what there was
        key = key_of(name)
        if key.changes == "bits" and not key.resumable and before.get(name) != now.get(name):
            raise Mistake(
                f"{folder}: {name} is {now.get(name)!r} now and was {before.get(name)!r} when the run began; "
                "it cannot be resumed"
            )


def _asks_for_more_epochs(now: object, before: object, record: Record) -> bool:
    """Return whether more epochs are asked for than the run was given, or, where that was `auto`, than it trained."""
    had = before if isinstance(before, int) else record.epochs or 0
    return isinstance(now, int) and now > had


def _stopped_early(record: Record, before: dict[str, object]) -> bool:
    """Return whether a finished run had epochs left that it did not train."""
    had = before.get("trainer.epochs")
    stops = before.get("trainer.early_stopping.monitor") is not None and record.status == "finished"
    left = not isinstance(had, int) or (record.epochs or 0) < had
    return stops and left and (record.best_epoch or 0) < (record.epochs or 0)


def _schedule_depends_on_length(config: dict[str, object]) -> bool:
    return any(
        config[key] in (None, config.get("trainer.epochs"))
        for key in ("scheduler.class.total_steps", "scheduler.class.T_max")
        if key in config
    )
