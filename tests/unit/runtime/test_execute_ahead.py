from __future__ import annotations

import errno
import os

from corten.linux import process, vfork
from corten.runtime import execute_ahead


def test_what_cannot_be_had_in_advance_is_left_out(monkeypatch):
    def fail(*_arguments: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(process, "populate", fail)
    first = execute_ahead.prepare(os.getpid(), namespaces=False)
    assert first.shared is None and not first.usual.mounts
    monkeypatch.setattr(process, "populate", lambda: None)
    monkeypatch.setattr(vfork, "Shared", fail)
    second = execute_ahead.prepare(os.getpid(), namespaces=False)
    assert second.shared is None
    for null in (first.null, second.null):
        if null >= 0:
            os.close(null)
