"""The output of a step, bounded."""

from __future__ import annotations

from corten.build.solve.log_limit import LimitedLog


def written(*pieces: bytes, head: int = 10, tail: int = 5) -> bytes:
    log = LimitedLog(head, tail)
    said: list[bytes] = []
    log.listen(lambda stream, data: said.append(data))
    for piece in pieces:
        log.write(1, piece)
    log.close()
    return b"".join(said)


def test_what_is_short_comes_whole() -> None:
    assert written(b"12345", b"67890") == b"1234567890"
    assert written(b"1234567890", b"abcde") == b"1234567890abcde"


def test_of_what_is_long_beginning_and_end_come() -> None:
    said = written(b"1234567890", *(bytes([letter]) for letter in b"abcdefghij"))
    assert said.startswith(b"1234567890\n[")
    assert said.endswith(b"]\nfghij")
    assert b"5 are left out" in said
    said = written(b"x" * 25)
    assert said.startswith(b"x" * 10 + b"\n[")
    assert said.endswith(b"]\n" + b"x" * 5)
    assert b"10 are left out" in said


def test_who_comes_later_is_told_everything() -> None:
    log = LimitedLog()
    log.write(1, b"before")
    said: list[tuple[int, bytes]] = []

    def listener(stream: int, data: bytes) -> None:
        said.append((stream, data))

    log.listen(listener)
    log.write(2, b"after")
    log.leave(listener)
    log.write(1, b"alone")
    assert said == [(1, b"before"), (2, b"after")]
