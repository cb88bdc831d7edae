"""The arguments of a command on finished runs: `key=value`, taken as they stand, typed by the command's signature."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable

import yaml

from dlrun.config.build import check_types
from dlrun.errors import Mistake, did_you_mean

TAKE_THE_REST = ("overrides", "folders", "choices", "config_dir")


def call(name: str, command: Callable[..., int], arguments: list[str], config_dir: str | None = None) -> int:
    """Call `command` with `key=value` arguments.

    A parameter called `overrides` gets those that the command does not know, for a config; one called `folders` those
    that are not of the form key=value, `choices` all of them; `config_dir` gets that of the command line.

    Returns:
        What the command returns: an exit code.

    Raises:
        Mistake: an argument that is unknown, missing, of another type, or not of the form key=value.
    """
    hints = typing.get_type_hints(command)
    parameters = {n: p for n, p in inspect.signature(command).parameters.items() if n not in TAKE_THE_REST}
    given, overrides, folders = {}, [], []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if ("folders" in hints and not equals) or "choices" in hints:
            folders.append(argument)
            continue
        if not equals:
            raise Mistake(f"{name}: '{argument}' is not of the form key=value (it takes {', '.join(parameters)})")
        if key in parameters:
            given[key] = value if hints[key] in (str, str | None) else _plain(key, value)
        elif "overrides" in hints:
            overrides.append(argument)
        else:
            near = did_you_mean(key, parameters)
            raise Mistake(f"{name}: there is no argument '{key}'{near} (it takes {', '.join(parameters)})")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in given:
            raise Mistake(f"{name}: {key}=… is needed")
    given = check_types({key: hints[key] for key in given}, given, "")
    if config_dir is not None:
        if "config_dir" not in hints:
            raise Mistake(f"--config-dir: means nothing to dlrun {name}")
        given["config_dir"] = config_dir
    collected = {"overrides": overrides, "folders": folders, "choices": folders}
    rest = {name: value for name, value in collected.items() if name in hints}
    return command(**given, **rest)


def describe(name: str, command: Callable[..., int]) -> str:
    """Return the help of a command: what it does, its arguments with their defaults, and what they mean."""
    parameters = inspect.signature(command).parameters.items()
    shown = [f"{key}=…" if p.default is p.empty else f"[{key}={_default(p.default)}]" for key, p in parameters
             if key not in TAKE_THE_REST]  # fmt: skip
    rest = "".join(f" [{key}]" for key, _ in parameters if key in ("folders", "choices", "overrides"))
    text = (inspect.getdoc(command) or "").split("\n\nRaises:")[0]
    return f"dlrun {name}{rest} {' '.join(shown)}".rstrip() + f"\n\n{text}"


def _default(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def _plain(key: str, value: str) -> object:
    """Return a number, a truth value or a list, as YAML reads it."""
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise Mistake(f"{key}: '{value}' cannot be read ({str(error).splitlines()[0]})") from error
