"""Instructions that change the image's config."""

from __future__ import annotations

from typing import Any

import pytest

from corten.build.parser.source_error import DockerfileError
from corten.oci.image_config import HealthConfig, ImageRunConfig
from tests.unit.build.plan.planning import Images, config, history, plan, plan_one


async def run_config(text: str, **options: Any) -> ImageRunConfig:
    return (await plan_one(text, **options)).config.run


async def test_env_sees_what_was_before_the_instruction() -> None:
    image = await plan_one('FROM base\nENV a=1 b=2\nENV a=3 b=$a c="x y" $b=4\nENV d legacy  value\n')
    assert image.config.run.env == [
        "PATH=/bin",
        "FROM_BASE=yes",
        "a=3",
        "b=1",
        "c=x y",
        "2=4",
        "d=legacy  value",
    ]
    assert history(image)[1:] == ["ENV a=3 b=1 c=x y 2=4", "ENV d=legacy  value"]


async def test_a_path_is_always_there() -> None:
    image = await plan_one("FROM bare\n", Images(bare=config()))
    assert image.config.run.env == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


async def test_what_a_base_has_twice_stays_so() -> None:
    image = await plan_one("FROM odd\nENV a=3\n", Images(odd=config(env=["PATH=/", "a=1", "a=2", "flag"])))
    assert image.config.run.env == ["PATH=/", "a=3", "a=2", "flag"]


async def test_labels_are_sorted_and_those_of_the_request_win() -> None:
    found = await run_config("FROM scratch\nLABEL z=1 a=2\nLABEL b=$HOME\n", labels={"a": "9", "c": "3"})
    assert list((found.labels or {}).items()) == [("a", "9"), ("b", ""), ("c", "3"), ("z", "1")]


async def test_entrypoint_takes_the_command_of_the_base_away() -> None:
    images = Images(base=config(cmd=["sh"], entrypoint=["e"]))
    found = (await plan_one('FROM base\nENTRYPOINT ["x"]\n', images)).config.run
    assert (found.entrypoint, found.cmd) == (["x"], None)
    found = (await plan_one('FROM base\nCMD ["y"]\nENTRYPOINT ["x"]\n', images)).config.run
    assert (found.entrypoint, found.cmd) == (["x"], ["y"])
    found = (await plan_one('FROM base AS one\nCMD ["y"]\nFROM one\nENTRYPOINT ["x"]\n', images)).config.run
    assert (found.entrypoint, found.cmd) == (["x"], None)


async def test_cmd() -> None:
    image = await plan_one('FROM base\nCMD run  $this "it"\n')
    assert image.config.run.cmd == ["/bin/sh", "-c", 'run  $this "it"']
    assert image.config.run.args_escaped
    assert history(image) == ['CMD ["/bin/sh" "-c" "run  $this \\"it\\""]']
    assert (await run_config("FROM base\nCMD []\n")).cmd is None


async def test_healthcheck() -> None:
    image = await plan_one(
        "FROM base\nHEALTHCHECK --interval=5m --timeout=1.5s --start-period=1h --start-interval=100ms "
        "--retries=3 CMD curl -f http://x\n"
    )
    assert image.config.run.healthcheck == HealthConfig(
        test=["CMD-SHELL", "curl -f http://x"],
        interval=300 * 10**9,
        timeout=1_500_000_000,
        start_period=3600 * 10**9,
        start_interval=100_000_000,
        retries=3,
    )
    assert history(image) == [
        "HEALTHCHECK {Test:[CMD-SHELL curl -f http://x] Interval:5m0s Timeout:1.5s StartPeriod:1h0m0s "
        "StartInterval:100ms Retries:3}"
    ]


async def test_expose() -> None:
    image = await plan_one("FROM base\nARG more='9/udp  8-9/sctp'\nEXPOSE 80 7000-7002/UDP $more\n")
    assert list(image.config.run.exposed_ports or {}) == [
        "7000/udp", "7001/udp", "7002/udp", "8/sctp", "80/tcp", "9/sctp", "9/udp",
    ]  # fmt: skip
    assert history(image)[-1] == "EXPOSE [9/udp 8/sctp 9/sctp 7000/udp 7001/udp 7002/udp 80/tcp]"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("EXPOSE 80/icmp", 'invalid port: "80/icmp": invalid proto: icmp'),
        ("EXPOSE /tcp", 'invalid port: "/tcp": no port specified'),
        ("EXPOSE 65536", "invalid containerPort: 65536"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("EXPOSE 1-2-3", "invalid containerPort: 1-2-3"),
        ("EXPOSE 1.2.3:1:1", "invalid IP address: 1.2.3"),
        ("EXPOSE x:1", "invalid hostPort: x"),
        ("EXPOSE 1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3"),
        ("STOPSIGNAL SIGFOO", "invalid signal: SIGFOO"),
        ("STOPSIGNAL 0", "invalid signal: 0"),
        ("VOLUME $nothing", "VOLUME specified can not be an empty string"),
        ("USER ${who:?is needed}", "who: is needed"),
    ],
)
async def test_what_is_refused(line: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as raised:
        await plan(f"FROM base\nENV nothing=\n{line}\n")
    assert reason in raised.value.reason
    assert raised.value.line == 3


@pytest.mark.parametrize("signal", ["SIGTERM", "kill", "9", "RTMIN+3", "sigrtmax-14"])
async def test_signals(signal: str) -> None:
    assert (await run_config(f"FROM base\nSTOPSIGNAL {signal}\n")).stop_signal == signal


async def test_volumes_user_shell_author() -> None:
    image = await plan_one(
        'FROM base\nMAINTAINER me <me@x.org>\nVOLUME /a $FROM_BASE\nVOLUME ["/b c"]\n'
        'USER $FROM_BASE\nSHELL ["a", "b"]\n'
    )
    found = image.config.run
    assert (list(found.volumes or ()), found.user, found.shell) == (["/a", "/b c", "yes"], "yes", ["a", "b"])
    assert image.config.author == "me <me@x.org>"
    assert history(image) == [
        "MAINTAINER me <me@x.org>",
        "VOLUME [/a yes]",
        "VOLUME [/b c]",
        "USER yes",
        "SHELL [a b]",
    ]


async def test_what_only_dockers_own_images_have_is_not_inherited() -> None:
    images = Images(old=config(hostname="h", domainname="d", stop_timeout=5, user="u"))
    found = (await plan_one("FROM old\n", images)).config.run
    assert (found.hostname, found.domainname, found.stop_timeout, found.user) == ("", "", 5, "u")


async def test_the_history_of_the_base_comes_first() -> None:
    image = await plan_one("FROM base\nRUN x\nENV a=b\n")
    entries = image.config.history or ()
    assert [entry.created_by for entry in entries] == [
        "FROM somewhere",
        "RUN /bin/sh -c x # buildkit",
        "ENV a=b",
    ]
    assert [entry.empty_layer for entry in entries] == [False, False, True]
    assert [vertex is None for vertex in image.layers] == [True, False, True]
    assert image.config.diff_ids == ("sha256:" + "1" * 64,)
    assert image.base is not None and image.base.reference.startswith("docker.io/library/base:latest@")
