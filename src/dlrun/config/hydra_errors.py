"""Hydra's and OmegaConf's exceptions as one line each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dlrun.config.groups import LISTED, choices_of, config_folder
from dlrun.config.schema import Config
from dlrun.errors import Mistake, did_you_mean, one_line

SHORT_OF = ("trainer", "optimizer", "model")  # groups whose settings are typed without their group now and then
OURS = {
    "hydra.run": "output_dir",
    "hydra.sweep": "sweep_dir",
    "hydra/launcher": "launcher",
    "hydra/sweeper": "sweeper",
    "hydra.verbose": "debug",
    "hydra.launcher": "launcher",
    "hydra.sweeper": "sweeper",
}  # keys in place of Hydra's


def refuse_hydras_own(override: str) -> None:
    """Refuse an override of Hydra itself, which would change nothing.

    Raises:
        Mistake: names the key of dlrun's that does what is meant.
    """
    key = override.lstrip("+~").partition("=")[0]
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        ours = next((own for theirs, own in OURS.items() if key.startswith(theirs)), None)
        instead = f"; the key here is {ours}" if ours else ""
        raise Mistake(f"{key}: is a key of Hydra's, which dlrun does not use{instead}")


@contextmanager
def explained() -> Iterator[None]:
    """Turn Hydra's and OmegaConf's exceptions into one line each."""
    try:
        yield
    except MissingConfigException as error:
        raise Mistake(_explain_missing(error)) from error
    except OverrideParseException as error:
        raise Mistake(_explain_parse(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise Mistake(_explain(error)) from error
    except yaml.YAMLError as error:
        raise Mistake(f"a config file is no YAML: {one_line(error)}") from error
    except ValueError as error:  # Hydra's own, of a group that is given no name
        raise Mistake(one_line(str(error).split(": Override(")[0])) from error


def _explain_missing(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        return one_line(str(error).split("Config search path")[0])
    if not name:
        return f"{group}: name a choice: {', '.join(error.options)}"
    top, _, below = group.partition("/")
    inside = [choice for choice in choices_of(config_folder() / top) if below and choice.startswith(f"{below}/")]
    if inside:
        group, name = top, f"{below}/{name}"
    options = inside or error.options
    return f"{group}: '{name}' is not one of {', '.join(options)}{did_you_mean(name, options)}"


def _explain_parse(error: OverrideParseException) -> str:
    message = one_line(str(error).split("See https")[0])
    if "EQUAL" in message and "=" not in error.override:
        return f"'{error.override}' is neither an option nor of the form key=value (dlrun --help lists them)"
    return f"{message} (quote what is text: \"{error.override.partition('=')[0]}='…'\")"


def _explain(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    message = one_line(str(error).split("See https")[0])
    if not isinstance(cause, OmegaConfBaseException):
        return _explain_hydra(message)
    key = cause.full_key or ""
    reason = str(cause.msg or cause).splitlines()[0] if str(cause) else message
    if isinstance(cause, AttributeError | KeyError) or "not in struct" in reason:
        parent = cause.parent_node
        known = [k for k in parent if k not in ("hydra", "_target_")] if isinstance(parent, DictConfig) else []
        where = f" (here: {', '.join(map(str, known))})" if known else ""
        near = did_you_mean(key.rpartition(".")[2], known) if "." in key else hint_for(key, map(str, known))
        return f"{key}: there is no such key{near}{where if '.' in key or 'mean' not in near else ''}"
    return f"{key}: {one_line(reason)}" if key and key not in reason else one_line(reason)


def _explain_hydra(message: str) -> str:
    ambiguous = re.match(r"Ambiguous value for argument '([^=]+)=(.*?)' 1\.", message)
    if ambiguous:
        key, value = ambiguous.groups()
        return f"{key}={value}: several values; add -m to run one after the other, or write a list: {key}=[{value}]"
    unknown_group = re.match(r"Could not override '([^']+)'. No match in the defaults list", message)
    if unknown_group:
        name = unknown_group.group(1).partition("@")[0]
        groups = {p.name for p in config_folder().iterdir() if p.is_dir()} - set(LISTED.values())
        return f"{name}: there is no such key{hint_for(name, [*sorted(groups), *(f.name for f in fields(Config))])}"
    return message


def hint_for(name: str, known: Iterable[str]) -> str:
    """Return what may have been meant by a key that there is not: the full key of a short one, or one spelt alike."""
    short = name.lower().strip("-")
    for group in SHORT_OF:
        for file in (config_folder() / group).glob("*.yaml"):
            settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            if short in settings:
                return f"; did you mean {group}.{short}?"
    return did_you_mean(short, known)
