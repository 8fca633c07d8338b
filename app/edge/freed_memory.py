"""Gives memory that was freed back to the operating system.

An optimisation for where the C library is glibc, which keeps what was freed between pieces that are
still used; elsewhere it does nothing.
"""

import asyncio
import ctypes
import sys


def give_back_freed_memory() -> None:
    """Begins to give freed memory back, in a thread, so that the event loop goes on meanwhile."""
    if sys.platform != "linux":
        return
    # musl has no such function.
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        asyncio.get_running_loop().run_in_executor(None, malloc_trim, 0)
