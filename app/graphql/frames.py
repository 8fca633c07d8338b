"""Cuts incoming bytes at the ends of WebSocket frames, so that frames can be handled one by one."""

_MASK_BYTES = 4


class FrameCutter:
    """Bytes that have arrived on a WebSocket and wait to be handled."""

    def __init__(self) -> None:
        self._data = b""
        self._start = 0
        self._missing = 0
        self.unfinished = 0
        """How many bytes have been taken of a frame that is not complete."""

    def __len__(self) -> int:
        return len(self._data) - self._start

    def add(self, data: bytes) -> None:
        self._data = self._data[self._start :] + data if len(self) else data
        self._start = 0

    def take(self) -> bytes:
        """Returns the next frame or the part of it that has arrived, and b"" without enough bytes
        to tell its length."""
        if self._missing == 0:
            self.unfinished = 0
            self._missing = self._next_size()
        taken = self._data[self._start : self._start + self._missing]
        self._start += len(taken)
        self._missing -= len(taken)
        self.unfinished = self.unfinished + len(taken) if self._missing else 0
        return taken

    def _next_size(self) -> int:
        """Returns the size of the next frame with its header (RFC 6455, 5.2), or 0 if unknown."""
        if len(self) < 2:
            return 0
        second = self._data[self._start + 1]
        header = 2 + (_MASK_BYTES if second & 0x80 else 0)
        length = second & 0x7F
        if length < 126:
            return header + length
        width = 2 if length == 126 else 8
        at = self._start + 2
        if len(self) < 2 + width:
            return 0
        return header + width + int.from_bytes(self._data[at : at + width], "big")
