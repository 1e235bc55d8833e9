"""Ctrl-C and SIGTERM as a request that is honored when the work at hand is done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopRequest:
    """While this context is entered, a first Ctrl-C or SIGTERM makes `asked` true; a second Ctrl-C is not waited for.

    In any other than the main thread, where Python handles no signals, it never becomes true.
    """

    def __init__(self) -> None:
        self.asked = False
        self._handlers: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}  # as they were before

    def __enter__(self) -> StopRequest:
        self.asked = False
        if threading.current_thread() is threading.main_thread():
            self._handlers = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def leave_process_group(_worker: int) -> None:
    """For a loader's worker: in a session of its own, Ctrl-C and signals to the group do not reach it.

    It lives on until the trainer, which finishes the present update, ends it by SIGTERM.
    """
    if hasattr(os, "setsid"):  # not on Windows
        os.setsid()
