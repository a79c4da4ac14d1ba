"""Times, signals, detach keys, names, states, restart policies: what needs no engine."""

from __future__ import annotations

import pytest

from corten.api.host_config import HostConfig, RestartPolicy
from corten.engine import restart_policy
from corten.engine.detach_keys import parse_detach_keys
from corten.engine.names import ADJECTIVES, SURNAMES, generate_name
from corten.engine.signals import parse_signal
from corten.engine.state import TRANSITIONS, Status, check_transition
from corten.engine.timestamp import ZERO, parse_duration, parse_time, rfc3339, since_words
from corten.engine.top import parse_ps
from corten.errors import Conflict, InvalidArgument

SECOND = 1_000_000_000


def test_times_are_written_with_nine_digits() -> None:
    assert rfc3339(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
    assert rfc3339(0) == ZERO


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", 1_700_000_000 * SECOND),
        ("1700000000.5", 1_700_000_000 * SECOND + SECOND // 2),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND),
        ("2023-11-14T22:13:20.25Z", 1_700_000_000 * SECOND + SECOND // 4),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000 * SECOND),
        ("2023-11-14", 1_699_920_000 * SECOND),
        ("2023-11-14T22", 1_699_999_200 * SECOND),
    ],
)
def test_moments(text: str, expected: int) -> None:
    assert parse_time(text) == expected


def test_a_duration_is_before_now() -> None:
    assert parse_time("1h30m", reference=10_000 * SECOND) == (10_000 - 5400) * SECOND
    assert parse_duration("1.5s") == 3 * SECOND // 2
    for text in ("", "1", "1x", "h", "1h1"):
        with pytest.raises(InvalidArgument, match="invalid duration"):
            parse_duration(text)
    with pytest.raises(InvalidArgument, match='invalid time "yesterday"'):
        parse_time("yesterday")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (200, "3 minutes"),
        (3600, "About an hour"),
        (2 * 3600, "2 hours"),
        (3 * 86400, "3 days"),
        (15 * 86400, "2 weeks"),
        (90 * 86400, "3 months"),
        (3 * 365 * 86400, "3 years"),
    ],
)
def test_spans_in_dockers_words(seconds: int, words: str) -> None:
    assert since_words(seconds * SECOND) == words


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGTERM", 15), ("term", 15), ("9", 9), ("KILL", 9), ("SIGRTMIN+3", 37), ("rtmax-1", 63), ("USR1", 10)],
)
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "SIGNOPE", "TERM+1", "RTMIN+99", "-9"])
def test_no_signals(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid signal"):
        parse_signal(text)


def test_detach_keys() -> None:
    assert parse_detach_keys(None) == b"\x10\x11"
    assert parse_detach_keys("") == b""
    assert parse_detach_keys("ctrl-a,a,ctrl-@,DEL") == b"\x01a\x00\x7f"
    with pytest.raises(InvalidArgument, match="Unknown character"):
        parse_detach_keys("ctrl-p,ctrl-1")


def test_generated_names_are_valid_and_free() -> None:
    assert len(set(ADJECTIVES)) == len(ADJECTIVES)
    assert len(set(SURNAMES)) == len(SURNAMES)
    taken: set[str] = set()
    for _ in range(500):
        name = generate_name(taken.__contains__)
        assert name not in taken
        assert name.replace("_", "").isalnum()
        taken.add(name)


def test_every_state_has_its_moves() -> None:
    assert set(TRANSITIONS) == set(Status)
    check_transition("x", Status.CREATED, Status.RUNNING)
    with pytest.raises(Conflict, match="is exited and cannot become paused"):
        check_transition("x", Status.EXITED, Status.PAUSED)


@pytest.mark.parametrize(
    ("policy", "code", "count", "stopped", "expected"),
    [
        ("no", 1, 0, False, False),
        ("always", 0, 99, False, True),
        ("always", 0, 0, True, False),
        ("unless-stopped", 0, 0, False, True),
        ("unless-stopped", 0, 0, True, False),
        ("on-failure", 0, 0, False, False),
        ("on-failure", 1, 99, False, True),
    ],
)
def test_who_starts_again(policy: str, code: int, count: int, stopped: bool, expected: bool) -> None:
    host = HostConfig(restart_policy=RestartPolicy(name=policy))
    found = restart_policy.restarts(host, exit_code=code, restart_count=count, manually_stopped=stopped)
    assert found is expected


def test_on_failure_counts() -> None:
    host = HostConfig(restart_policy=RestartPolicy(name="on-failure", maximum_retry_count=3))
    answers = [
        restart_policy.restarts(host, exit_code=1, restart_count=count, manually_stopped=False)
        for count in range(5)
    ]
    assert answers == [True, True, True, False, False]


def test_with_the_engine() -> None:
    for policy, stopped, expected in (
        ("always", True, True),
        ("unless-stopped", True, False),
        ("unless-stopped", False, True),
        ("on-failure", False, False),
        ("no", False, False),
    ):
        host = HostConfig(restart_policy=RestartPolicy(name=policy))
        assert restart_policy.restarts_with_engine(host, manually_stopped=stopped) is expected


def test_pauses_double_up_to_a_minute_and_begin_anew() -> None:
    pause, pauses = 0.0, []
    for _ in range(12):
        pause = restart_policy.next_pause(pause, ran_for=0.1)
        pauses.append(round(pause, 1))
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == 60.0
    assert restart_policy.next_pause(60.0, ran_for=10.0) == 0.1


def test_ps_keeps_the_processes_of_the_container() -> None:
    text = "UID   PID CMD\nroot    1 init -x\nroot   20 sh -c a  b\n"
    top = parse_ps(text, {20})
    assert (top.titles, top.processes) == (["UID", "PID", "CMD"], [["root", "20", "sh -c a  b"]])
    with pytest.raises(InvalidArgument, match="PID"):
        parse_ps("CMD\nx\n", {1})
