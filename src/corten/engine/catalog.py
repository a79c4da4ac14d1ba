"""All containers, in memory and in the database, and how a reference names one of them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from operator import attrgetter

import msgspec

from corten.api.container import ContainerConfig
from corten.api.host_config import HostConfig
from corten.engine.record import Container, Definition, StateRecord
from corten.engine.state import Status, check_transition
from corten.engine.store import execute
from corten.errors import Conflict, IntegrityError, InvalidArgument, NoSpace, NotFound

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_HEX = re.compile(r"[0-9a-f]+")

_encode = msgspec.json.Encoder().encode
_decode_definition = msgspec.json.Decoder(Definition).decode
_decode_state = msgspec.json.Decoder(StateRecord).decode


class Catalog:
    """Every container of the engine. Each method that changes something is one database transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, Container] = {}
        self._reserved: set[str] = set()
        self._unsaved: dict[str, Container] = {}

    def load(self) -> None:
        """Reads the database; IntegrityError names a row that is not readable."""
        for row in self._connection.execute("SELECT id, name, created, config, state FROM containers"):
            identity, name, created, config, state = row
            try:
                container = Container(
                    identity, name, created, _decode_definition(config), _decode_state(state)
                )
            except msgspec.MsgspecError as error:
                raise IntegrityError(
                    f"the record of container {identity} is not readable: {error}"
                ) from error
            self._by_id[identity] = container
            self._by_name[name] = container

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._by_id

    def find(self, container_id: str) -> Container | None:
        """By full id."""
        return self._by_id.get(container_id)

    def named(self, name: str) -> Container | None:
        return self._by_name.get(name)

    def resolve(self, ref: str) -> Container:
        """By full id, name (with or without the slash), or unique prefix of an id, in this order."""
        if found := self._by_id.get(ref) or self._by_name.get(ref.removeprefix("/")):
            return found
        if not ref:
            raise InvalidArgument("no container name or id given")
        if _HEX.fullmatch(ref):
            matches = [container for identity, container in self._by_id.items() if identity.startswith(ref)]
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise InvalidArgument(f"multiple IDs found with provided prefix: {ref}")
        raise NotFound(f"No such container: {ref}")

    def check_name(self, name: str) -> None:
        """InvalidArgument for a bad name, Conflict for one in use (or being used by a create under way)."""
        if not _NAME.fullmatch(name):
            raise InvalidArgument(
                f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )
        holder = self._by_name.get(name)
        if holder is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder.id}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        if name in self._reserved:
            raise Conflict(f'Conflict. The container name "/{name}" is being taken by another request.')

    def reserve(self, name: str) -> None:
        """Keeps `name` for a create or rename that is under way; `release` it in the end."""
        self.check_name(name)
        self._reserved.add(name)

    def release(self, name: str) -> None:
        self._reserved.discard(name)

    def add(self, container: Container) -> None:
        execute(
            self._connection,
            "INSERT INTO containers VALUES (?, ?, ?, ?, ?)",
            (
                container.id,
                container.name,
                container.created,
                _encode_definition(container.definition),
                _encode(container.state),
            ),
        )
        self._by_id[container.id] = container
        self._by_name[container.name] = container

    def move(self, container: Container, status: Status) -> bool:
        """Changes the status after the table of transitions, and saves the state: see `save_state`."""
        self.change(container, status)
        return self.save_state(container)

    def change(self, container: Container, status: Status) -> None:
        """As `move`, but only here: `save_state` has to follow."""
        check_transition(container.id, container.state.status, status)
        container.state.status = status

    def save_state(self, container: Container) -> bool:
        """False when the disk is full: what happened has happened all the same (a process has started, has
        ended), so nobody may be kept waiting for its record. The next save that works brings it.

        Until then the run directory tells the next engine.
        """
        self._unsaved[container.id] = container
        try:
            for waiting in list(self._unsaved.values()):
                execute(
                    self._connection,
                    "UPDATE containers SET state = ? WHERE id = ?",
                    (_encode(waiting.state), waiting.id),
                )
                del self._unsaved[waiting.id]
        except NoSpace:
            return False
        return True

    def save_definition(self, container: Container) -> None:
        execute(
            self._connection,
            "UPDATE containers SET config = ? WHERE id = ?",
            (_encode_definition(container.definition), container.id),
        )

    def rename(self, container: Container, name: str) -> None:
        execute(self._connection, "UPDATE containers SET name = ? WHERE id = ?", (name, container.id))
        del self._by_name[container.name]
        container.name = name
        self._by_name[name] = container

    def delete(self, container: Container) -> None:
        execute(self._connection, "DELETE FROM containers WHERE id = ?", (container.id,))
        self._unsaved.pop(container.id, None)
        self._by_id.pop(container.id, None)
        if self._by_name.get(container.name) is container:
            del self._by_name[container.name]

    def users_of_volume(self, name: str) -> list[Container]:
        """The containers that mount the volume `name`."""
        return [
            container
            for container in self._by_id.values()
            if any(mount.type == "volume" and mount.name == name for mount in container.definition.mounts)
        ]


def _encode_definition(definition: Definition) -> bytes:
    """Only what differs from the defaults: a row of a few hundred bytes stays on one page of the database."""
    parts = {name: getattr(definition, name) for name in definition.__struct_fields__}
    for name, (values, usual, keys) in _USUAL.items():
        parts[name] = {
            key: value
            for value, default, key in zip(values(parts[name]), usual, keys, strict=True)
            if value is not default and value != default
        }
    return _encode(parts)


_Values = Callable[[object], tuple[object, ...]]


def _usual(default: msgspec.Struct) -> tuple[_Values, tuple[object, ...], tuple[str, ...]]:
    values = attrgetter(*default.__struct_fields__)
    return values, values(default), default.__struct_encode_fields__


_USUAL = {"config": _usual(ContainerConfig()), "host_config": _usual(HostConfig())}
