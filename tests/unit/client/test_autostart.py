"""The engine that does not start: the caller reads why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from corten.client import autostart
from corten.client.address import Address
from corten.errors import Unavailable


def test_the_end_of_the_log_is_told(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys; sys.stderr.write('line 1\\nthe database is locked\\n'); sys.exit(3)"
    monkeypatch.setattr(autostart, "engine_command", lambda: [sys.executable, "-c", program])
    (short_tmp / "run").mkdir()
    (short_tmp / "run" / "engine.log").write_text("an older trouble\n")
    with pytest.raises(Unavailable) as caught:
        autostart.start_engine(Address(path=str(short_tmp / "run" / "engine.sock"), managed=True))
    assert "could not start" in caught.value.message
    assert "the database is locked" in caught.value.message
    assert "an older trouble" not in caught.value.message


def test_one_that_never_answers(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, "START_TIMEOUT", 0.2)
    program = "import os, time; os.close(int(os.environ['CORTEN_READY_FD'])); time.sleep(0.8)"
    monkeypatch.setattr(autostart, "engine_command", lambda: [sys.executable, "-c", program])
    with pytest.raises(Unavailable, match="did not answer within"):
        autostart.start_engine(Address(path=str(short_tmp / "run" / "engine.sock"), managed=True))


def test_a_directory_that_cannot_be_made(short_tmp: Path) -> None:
    (short_tmp / "file").touch()
    with pytest.raises(Unavailable, match="CORTEN_RUN"):
        autostart.start_engine(Address(path=str(short_tmp / "file" / "run" / "engine.sock"), managed=True))


def test_what_the_shell_left_open_is_not_inherited(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    listing = short_tmp / "fds"
    program = f"import os; open({str(listing)!r}, 'w').write(' '.join(os.listdir('/proc/self/fd')))"
    monkeypatch.setattr(autostart, "engine_command", lambda: [sys.executable, "-c", program])
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        with pytest.raises(Unavailable):
            autostart.start_engine(Address(path=str(short_tmp / "run" / "engine.sock"), managed=True))
    finally:
        os.close(reader)
        os.close(writer)
    assert str(writer) not in listing.read_text().split()
