"""^C, SIGTERM, SIGUSR1 and the time limit: the run stops at the next step and saves; a second ^C stops at once."""

from __future__ import annotations

import signal
import threading
from typing import Any

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
if hasattr(signal, "SIGUSR1"):  # Slurm's warning that the time is nearly over; Windows has none
    EXIT_CODES[signal.SIGUSR1] = 143


class Interruption:
    """While entered, remembers the first SIGINT or SIGTERM instead of dying of it; a second one is obeyed at once.

    Attributes:
        signal: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """130 for ^C, 143 for SIGTERM, 0 for neither."""
        return EXIT_CODES[self.signal] if self.signal else 0

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._remember) for number in EXIT_CODES}
        return self

    def __exit__(self, *_error: object) -> None:
        self._restore()

    def _remember(self, number: int, _frame: object) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
