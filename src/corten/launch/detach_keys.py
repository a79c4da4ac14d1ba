"""Find the detach keys in a client's keystrokes: bytes in, bytes and a verdict out."""

from __future__ import annotations


class DetachScanner:
    """Recognises `keys` across any split into reads. Empty keys: never.

    The keys must come one after another; what turns out not to be them is passed on, in order. The beginning
    of a match is held back until the next byte decides.
    """

    __slots__ = ("_keys", "_matched")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """The bytes that are for the container, and whether the keys are complete (the rest is dropped)."""
        keys = self._keys
        if not keys or (not self._matched and keys[0] not in data):
            return data, False
        passed = bytearray()
        for byte in data:
            # Fall back to the longest beginning of the keys that the bytes so far still end with.
            while self._matched and byte != keys[self._matched]:
                held = keys[: self._matched]
                keep = next(n for n in range(self._matched - 1, -1, -1) if held.endswith(keys[:n]))
                passed += held[: self._matched - keep]
                self._matched = keep
            if byte == keys[self._matched]:
                self._matched += 1
                if self._matched == len(keys):
                    self._matched = 0
                    return bytes(passed), True
            else:
                passed.append(byte)
        return bytes(passed), False

    def flush(self) -> bytes:
        """What is held back, at the end of the input."""
        held, self._matched = self._keys[: self._matched], 0
        return held
