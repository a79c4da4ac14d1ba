"""What a container takes over from its image."""

from __future__ import annotations

import pytest

from corten.api.container import ContainerConfig, Healthcheck
from corten.engine.spec.merge import command, environment, merge, merge_env
from corten.errors import InvalidArgument
from corten.oci.image_config import HealthConfig, ImageRunConfig

IMAGE = ImageRunConfig(
    user="www",
    env=["PATH=/bin", "A=image"],
    entrypoint=["/entry"],
    cmd=["serve"],
    working_dir="/srv",
    labels={"l": "image", "m": "image"},
    exposed_ports={"80/tcp": {}},
    volumes={"/data": {}},
    stop_signal="SIGQUIT",
    healthcheck=HealthConfig(test=["CMD", "check"], interval=5, retries=2),
)


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, None, ["/entry", "serve"]),
        (None, ["other"], ["/entry", "other"]),
        (None, [], ["/entry", "serve"]),
        (["mine"], None, ["mine"]),
        (["mine"], ["x"], ["mine", "x"]),
        ([""], ["x"], ["x"]),
    ],
)
def test_entrypoint_and_cmd(entrypoint: list[str] | None, cmd: list[str] | None, expected: list[str]) -> None:
    path, args = command(merge(ContainerConfig(entrypoint=entrypoint, cmd=cmd), IMAGE))
    assert [path, *args] == expected


def test_nothing_to_run() -> None:
    for config, image in ((ContainerConfig(), ImageRunConfig()), (ContainerConfig(entrypoint=[""]), IMAGE)):
        with pytest.raises(InvalidArgument, match="no command specified"):
            merge(config, image)


def test_own_values_win_and_maps_are_united() -> None:
    own = ContainerConfig(
        env=["A=own", "B=own"],
        labels={"l": "own"},
        exposed_ports={"81/tcp": {}},
        user="1000",
        working_dir="/w",
    )
    merged = merge(own, IMAGE)
    assert merged.env == ["PATH=/bin", "A=own", "B=own"]
    assert merged.labels == {"l": "own", "m": "image"}
    assert merged.exposed_ports == {"80/tcp": {}, "81/tcp": {}}
    assert (merged.user, merged.working_dir, merged.stop_signal) == ("1000", "/w", "SIGQUIT")
    assert merge(ContainerConfig(), IMAGE).user == "www"


def test_healthchecks() -> None:
    inherited = merge(ContainerConfig(healthcheck=Healthcheck(interval=9)), IMAGE).healthcheck
    assert inherited is not None
    assert (inherited.test, inherited.interval, inherited.retries) == (["CMD", "check"], 9, 2)
    none = merge(ContainerConfig(healthcheck=Healthcheck(test=["NONE"])), IMAGE).healthcheck
    assert none is not None and none.test == ["NONE"]


def test_environment_in_dockers_order() -> None:
    config = ContainerConfig(env=["PATH=/own", "X=1"], tty=True)
    assert environment(config, "ship") == ["PATH=/own", "HOSTNAME=ship", "TERM=xterm", "X=1"]
    assert merge_env(["A=1", "B=2"], ["A", "C=3", "C=4"]) == ["B=2", "C=4"]
