"""A judge that finds, hangs and dies, for the test of the watch; in a file that another process can import."""

from __future__ import annotations

import os
import signal
import time


def fragile(number: int) -> str | None:
    """Finds 1 and 9, hangs at 3, dies at 5, ends at 6."""
    if number == 3:
        time.sleep(3600)
    if number == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 6:
        os._exit(7)
    return f"{number}: found" if number in (1, 9) else None
