"""New layers become durable after a while, once, and not after the store is closed."""

import threading
import time

import pytest

from corten.image import settling


class Recorder:
    def __init__(self) -> None:
        self.calls = 0
        self.called = threading.Event()

    def settle(self) -> None:
        self.calls += 1
        self.called.set()


def test_once_after_the_last_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "DELAY", 0.1)
    recorder = Recorder()
    settler = settling.Settler(recorder)  # type: ignore[arg-type]
    for _ in range(5):
        settler.soon()
    assert recorder.called.wait(10)
    time.sleep(0.2)
    assert recorder.calls == 1
    settler.close()


def test_not_after_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "DELAY", 0.1)
    recorder = Recorder()
    settler = settling.Settler(recorder)  # type: ignore[arg-type]
    settler.soon()
    settler.close()
    time.sleep(0.25)
    assert recorder.calls == 0
