"""`ps`: the list of containers, with Docker's filters."""

from __future__ import annotations

import re
from collections.abc import Callable

from corten.api.container import ContainerSummary, SummaryHostConfig, SummaryNetworkSettings
from corten.engine.core import Core
from corten.engine.inspection import Inspection, endpoints_of, mount_points, ports_of
from corten.engine.record import Container
from corten.engine.removal import labels_match
from corten.engine.results import Filters
from corten.engine.state import Status
from corten.engine.timestamp import now, since_words
from corten.errors import CortenError, InvalidArgument, NotFound
from corten.image.model import Image

Matcher = Callable[[Container], bool]

_KEYS = frozenset(
    [
        "ancestor",
        "before",
        "exited",
        "expose",
        "health",
        "id",
        "is-task",
        "isolation",
        "label",
        "label!",
        "name",
        "network",
        "publish",
        "since",
        "status",
        "volume",
    ]
)


class Listing:
    """Lists containers."""

    def __init__(self, core: Core, inspection: Inspection) -> None:
        self._core = core
        self._inspection = inspection

    async def select(
        self, *, all: bool, limit: int | None, size: bool, filters: Filters | None
    ) -> list[ContainerSummary]:
        filters = filters or {}
        matches = self._compile(filters)
        everything = all or limit is not None or "status" in filters or "exited" in filters
        if not everything and ("before" in filters or "since" in filters):
            everything = False
        chosen = [
            container
            for container in self._core.catalog
            if (
                everything
                or container.state.status.has_process
                or container.state.status is Status.RESTARTING
            )
            and matches(container)
        ]
        chosen.sort(key=lambda container: container.created, reverse=True)
        result = []
        for container in chosen[:limit]:
            summary = self._summary(container)
            if size:
                summary.size_rw, summary.size_root_fs = await self._inspection.sizes(container)
            result.append(summary)
        return result

    def _summary(self, container: Container) -> ContainerSummary:
        core = self._core
        arguments = (f"'{text}'" if " " in text else text for text in container.definition.args)
        command = " ".join([container.definition.path, *arguments])
        return ContainerSummary(
            id=container.id,
            names=["/" + container.name],
            image=self._image_name(container),
            image_id=container.definition.image_id,
            command=command,
            created=container.created // 1_000_000_000,
            ports=ports_of(core, container),
            labels=container.config.labels or {},
            state=container.state.status.value,
            status=status_words(container),
            host_config=SummaryHostConfig(network_mode=container.host_config.network_mode),
            network_settings=SummaryNetworkSettings(networks=endpoints_of(core, container)),
            mounts=mount_points(core, container),
        )

    def _image_name(self, container: Container) -> str:
        """The name it was made with, or the id where that name means another image now."""
        try:
            if self._core.images.resolve(container.config.image).id == container.definition.image_id:
                return container.config.image
        except CortenError:
            pass
        return container.definition.image_id

    def _compile(self, filters: Filters) -> Matcher:
        for key in filters:
            if key not in _KEYS:
                raise InvalidArgument(f"invalid filter '{key}'")
        tests = [test for key, values in filters.items() if values for test in [self._test(key, values)]]
        if "label" in filters or "label!" in filters:
            tests.append(lambda container: labels_match(container.config.labels or {}, filters))
        return lambda container: all(test(container) for test in tests)

    def _test(self, key: str, values: list[str]) -> Matcher:
        match key:
            case "status":
                return _status(values)
            case "exited":
                return _exited(values)
            case "health":
                return _health(values)
            case "id":
                return lambda c: any(c.id.startswith(v) for v in values)
            case "name":
                patterns = [_pattern(value) for value in values]
                return lambda c: any(p.search(c.name) or p.search("/" + c.name) for p in patterns)
            case "ancestor":
                return self._ancestor(values)
            case "before" | "since":
                return self._relative(key, values)
            case "volume":
                return lambda c: any(
                    value in (mount.name, mount.source) or value == mount.destination
                    for mount in c.definition.mounts
                    for value in values
                )
            case "network":
                return self._network(values)
            case "publish" | "expose":
                return self._ports(key, values)
            case "is-task":
                return lambda c: "false" in values or "0" in values
        return lambda c: True

    def _ancestor(self, values: list[str]) -> Matcher:
        images: list[Image] = []
        for value in values:
            try:
                images.append(self._core.images.resolve(value))
            except (NotFound, InvalidArgument):
                continue
        ids = {image.id for image in images}
        chains = [image.chain for image in images if image.chain]
        return lambda c: (
            c.definition.image_id in ids or any(c.definition.chain[: len(chain)] == chain for chain in chains)
        )

    def _relative(self, key: str, values: list[str]) -> Matcher:
        others = [self._core.catalog.resolve(value).created for value in values]
        if key == "before":
            return lambda c: all(c.created < other for other in others)
        return lambda c: all(c.created > other for other in others)

    def _network(self, values: list[str]) -> Matcher:
        def matches(container: Container) -> bool:
            for name, endpoint in endpoints_of(self._core, container).items():
                if any(
                    value == name or (value and endpoint.network_id.startswith(value)) for value in values
                ):
                    return True
            return False

        return matches

    def _ports(self, key: str, values: list[str]) -> Matcher:
        wanted = {port for value in values for port in _port_range(value)}

        def matches(container: Container) -> bool:
            if key == "expose":
                exposed = {_port_key(text) for text in container.config.exposed_ports or ()}
                exposed |= {_port_key(text) for text in container.host_config.port_bindings}
                return bool(exposed & wanted)
            endpoint = self._core.network.endpoint(container.id)
            return any(
                (binding.host_port, binding.protocol) in wanted
                for binding in (endpoint.ports if endpoint else ())
            )

        return matches


def status_words(container: Container) -> str:
    """ "Up 3 minutes (healthy)", "Exited (0) 2 hours ago", "Created"."""
    state, moment = container.state, now()
    match state.status:
        case Status.RUNNING | Status.PAUSED:
            words = f"Up {since_words(moment - state.started_at)}"
            if state.status is Status.PAUSED:
                return f"{words} (Paused)"
            if state.health is not None:
                label = "health: starting" if state.health.status == "starting" else state.health.status
                return f"{words} ({label})"
            return words
        case Status.RESTARTING:
            return f"Restarting ({state.exit_code}) {since_words(moment - state.finished_at)} ago"
        case Status.EXITED:
            return f"Exited ({state.exit_code}) {since_words(moment - state.finished_at)} ago"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
    return "Created"


def _status(values: list[str]) -> Matcher:
    for value in values:
        if value not in Status._value2member_map_:
            raise InvalidArgument(f"invalid filter 'status={value}'")
    return lambda c: c.state.status.value in values


def _exited(values: list[str]) -> Matcher:
    if not all(re.fullmatch(r"-?\d+", value) for value in values):
        raise InvalidArgument(f"invalid filter 'exited={','.join(values)}'")
    codes = {int(value) for value in values}
    return lambda c: c.state.status is Status.EXITED and c.state.exit_code in codes


def _health(values: list[str]) -> Matcher:
    for value in values:
        if value not in ("starting", "healthy", "unhealthy", "none"):
            raise InvalidArgument(f"invalid filter 'health={value}'")
    return lambda c: (c.state.health.status if c.state.health else "none") in values


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise InvalidArgument(f"invalid filter 'name={text}': {error}") from error


def _port_key(text: str) -> tuple[int, str]:
    port, _, protocol = text.partition("/")
    return (int(port) if port.isdigit() else 0, protocol or "tcp")


def _port_range(text: str) -> list[tuple[int, str]]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", text)
    if not match or int(match[2] or match[1]) > 65535 or int(match[2] or match[1]) < int(match[1]):
        raise InvalidArgument(f"invalid port range: {text}")
    return [(port, match[3] or "tcp") for port in range(int(match[1]), int(match[2] or match[1]) + 1)]
