"""Gives memory that was freed back to the operating system.

An optimisation for where the C library is glibc, which keeps what was freed between pieces that are
still used; elsewhere it does nothing.
"""

import asyncio
import ctypes
import sys


def _find_malloc_trim() -> "ctypes._NamedFuncPointer | None":
    if sys.platform != "linux":
        return None
    # musl has no such function.
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


_malloc_trim = _find_malloc_trim()


def give_back_freed_memory() -> None:
    """Begins to give freed memory back, in a thread, so that the event loop goes on meanwhile."""
    if _malloc_trim is not None:
        asyncio.get_running_loop().run_in_executor(None, _malloc_trim, 0)
