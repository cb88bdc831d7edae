"""The command line: picks what to do, hands overrides to Hydra, and turns every mistake into one line."""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from dlrun.errors import Mistake, did_you_mean
from dlrun.plain_output import write_plainly
from dlrun.version import __version__

COMMANDS = {  # by name, the function that does it
    "compare": "dlrun.commands.compare:compare",
    "eval": "dlrun.commands.evaluate:evaluate",
    "export": "dlrun.commands.export:export",
    "generate": "dlrun.commands.generate:generate",
    "list": "dlrun.commands.list_choices:list_choices",
    "plot": "dlrun.commands.plot:plot",
    "predict": "dlrun.commands.predict:predict",
    "report": "dlrun.commands.report:report",
    "show": "dlrun.commands.show:show",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one line too."""

    def error(self, message: str) -> NoReturn:
        """Raise the mistake."""
        option = re.search(r"unrecognized arguments: --([\w.]+=\S*)", message)
        if option:
            raise Mistake(f"--{option[1]}: keys are written without dashes: {option[1]}")
        raise Mistake(f"{message} (dlrun --help shows what there is)")


def entry_point() -> None:
    """Run the console script `dlrun`: exit with the code that `main` gives."""
    write_plainly()
    gc.set_threshold(10_000)  # what is imported stays: a search for garbage among it every 700 objects takes 0.3 s
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run the command line.

    Returns:
        0 finished, 1 our fault, 2 the user's mistake, 3 diverged, 130 or 143 interrupted.
    """
    try:
        return _dispatch(_parse(arguments))
    except Mistake as mistake:
        if any(argument.lower() == "debug=true" for argument in arguments):
            traceback.print_exc()
        print(f"dlrun: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dlrun: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: `dlrun | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="dlrun", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--config-dir")
    parser.add_argument("--cfg", choices=("job", "hydra", "all"))
    parser.add_argument("--package", "-p")
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("-sc", "--shell-completion", action="store_true")
    return parser.parse_intermixed_args(arguments)


def _dispatch(options: argparse.Namespace) -> int:
    if options.help and options.overrides[:1] and options.overrides[0] in COMMANDS:
        from dlrun.arguments import describe

        print(describe(options.overrides[0], _function_of(options.overrides[0])))
        return 0
    if options.help:
        return _help(options)
    if options.version:
        print(f"dlrun {__version__}")
        return 0
    if options.cfg or options.shell_completion:
        from dlrun.commands.completion import complete, show_config

        if options.cfg:
            return show_config(options)
        return complete(options, {name: partial(_function_of, name) for name in COMMANDS})
    if options.overrides and "=" not in options.overrides[0] and not options.overrides[0].startswith("~"):
        return _command(options.overrides[0], options)
    for name in ("resume", "run"):
        folder = _take(options.overrides, name)
        if folder is not None:
            return _continue(name, folder, options)
    if options.multirun:
        from dlrun.sweeps.sweep import sweep

        return sweep(options.overrides, options.config_dir)
    from dlrun.commands.run import run

    ended = run(options.overrides, options.config_dir)
    return ended.exit_code if ended else 0


def _command(name: str, options: argparse.Namespace) -> int:
    """Run a command on finished runs."""
    if name not in COMMANDS:
        raise Mistake(
            f"'{name}' is neither a command ({', '.join(COMMANDS)}) nor of the form key=value"
            f"{did_you_mean(name, COMMANDS)}"
        )
    from dlrun.arguments import call

    if options.multirun:
        raise Mistake(f"-m: means nothing to dlrun {name}")
    return call(name, _function_of(name), options.overrides[1:], options.config_dir)


def _function_of(name: str) -> Callable[..., int]:
    """Return the function that does a command."""
    module, _, function = COMMANDS[name].partition(":")
    return getattr(import_module(module), function)


def _take(overrides: list[str], key: str) -> str | None:
    """Remove `key=value` from the overrides; the value, as it stands."""
    for override in overrides:
        if override.startswith(f"{key}="):
            overrides.remove(override)
            folder = override.partition("=")[2]
            if not folder:
                raise Mistake(f"{key}=: name a run folder, or latest")
            return folder
    return None


def _continue(name: str, folder: str, options: argparse.Namespace) -> int:
    if options.multirun:
        raise Mistake(f"{name}={folder}: goes without -m")
    if name == "resume":
        from dlrun.commands.resume import resume

        return resume(folder, options.overrides, options.config_dir)
    from dlrun.commands.repeat import repeat

    return repeat(folder, options.overrides, options.config_dir)


def _help(options: argparse.Namespace) -> int:
    from dlrun.commands.help import help_text
    from dlrun.config.groups import config_folder

    own = Path(options.config_dir) if options.config_dir else None
    print(help_text(config_folder(), own))
    return 0
