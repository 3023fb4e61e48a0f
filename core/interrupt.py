"""Ctrl-C, kept until a training is between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupt:
    """Lets Ctrl-C end a training between two runs, when the state is whole, not within one.

    Only the main thread can do that; elsewhere, and where the program handles the signal itself,
    nothing is changed. A second Ctrl-C interrupts at once.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self.installed = mine and threading.current_thread() is threading.main_thread()
        if self.installed:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True

    def __exit__(self, *details: object) -> None:
        if self.installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
