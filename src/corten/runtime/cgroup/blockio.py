"""Block I/O limits: v1 blkio.*, v2 io.weight and io.max.

Throttling wants a whole disk: the kernel refuses a partition with ENODEV (blkg_conf_open_bdev), so a
partition is replaced by its disk. https://docs.kernel.org/admin-guide/cgroup-v1/blkio-controller.html
"""

from __future__ import annotations

from corten.errors import InvalidArgument
from corten.oci.runtime_spec import BlockIO, ThrottleDevice, WeightDevice
from corten.runtime.cgroup import apply
from corten.runtime.cgroup.layout import Hierarchy
from corten.runtime.cgroup.writes import Writes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def io_weight(weight: int) -> int:
    """blkio's 10..1000 (default 500) to io.weight's 1..10000."""
    return 1 + (weight - 10) * 9999 // 990


def block_io_writes(writes: Writes, io: BlockIO) -> None:
    """The writes for weights and throttles, on the whole disks behind the devices that were named."""
    throttles = list(_throttles(io))
    weights = io.weight or io.leaf_weight or io.weight_device
    if not throttles and not weights:
        return
    controller = "io" if writes.layout.of("io") else "blkio"
    found = writes.hierarchy(controller, "the block I/O limit")
    if found is None:
        return
    if weights:
        _weights(writes, found, io)
    if found.v2:
        _throttle_v2(writes, found, throttles)
    else:
        for kind, device in throttles:
            name = _disk_name(device)
            file = f"blkio.throttle.{kind}_device"
            check, expected = (apply.FIELDS, f"{name} {device.rate}") if device.rate else (apply.ABSENT, name)
            writes.write(found, file, f"{name} {device.rate}", check, expected)


def _throttles(io: BlockIO) -> Iterator[tuple[str, ThrottleDevice]]:
    for kind, devices in (
        ("read_bps", io.throttle_read_bps_device),
        ("write_bps", io.throttle_write_bps_device),
        ("read_iops", io.throttle_read_iops_device),
        ("write_iops", io.throttle_write_iops_device),
    ):
        for device in devices or ():
            if device.rate < 0:
                raise InvalidArgument(
                    f"a rate must not be negative: {device.rate} for device {device.major}:{device.minor}"
                )
            yield kind, device


_IO_MAX = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}


def _throttle_v2(writes: Writes, found: Hierarchy, throttles: list[tuple[str, ThrottleDevice]]) -> None:
    settings: dict[str, dict[str, str]] = {}
    for kind, device in throttles:
        name = _disk_name(device)
        settings.setdefault(name, {})[_IO_MAX[kind]] = str(device.rate) if device.rate else "max"
    for name, values in settings.items():
        text = f"{name} " + " ".join(f"{key}={value}" for key, value in values.items())
        if all(value == "max" for value in values.values()):
            # A device without any limit left is not listed at all.
            writes.write(found, "io.max", text, apply.UNCHECKED)
        else:
            writes.write(found, "io.max", text, apply.FIELDS)


def _weights(writes: Writes, found: Hierarchy, io: BlockIO) -> None:
    if io.weight:
        _check_weight(io.weight)
        if found.v2:
            # BFQ's file where that scheduler is built in; io.weight belongs to iocost.
            default = io_weight(io.weight)
            writes.items.append(
                (
                    writes.item(found, "io.bfq.weight", io.weight, apply.FIELDS),
                    writes.item(found, "io.weight", default, apply.FIELDS, f"default {default}"),
                )
            )
        else:
            writes.items.append(
                tuple(writes.item(found, name, io.weight) for name in ("blkio.weight", "blkio.bfq.weight"))
            )
    if io.leaf_weight:
        if found.v2:
            writes.missing("a leaf weight cannot be kept: cgroup v2 has none")
        else:
            writes.write(found, "blkio.leaf_weight", io.leaf_weight)
    for device in io.weight_device or ():
        if not device.weight:
            continue
        _check_weight(device.weight)
        name = _disk_name(device)
        text = f"{name} {device.weight}"
        if found.v2:
            other = f"{name} {io_weight(device.weight)}"
            writes.items.append(
                (
                    writes.item(found, "io.bfq.weight", text, apply.FIELDS),
                    writes.item(found, "io.weight", other, apply.FIELDS),
                )
            )
        else:
            files = ("blkio.weight_device", "blkio.bfq.weight_device")
            writes.items.append(tuple(writes.item(found, file, text, apply.FIELDS) for file in files))


def _disk_name(device: ThrottleDevice | WeightDevice) -> str:
    from corten.runtime.cgroup import backing  # not at the start: it needs pathlib

    major, minor = backing.whole_disk(device.major, device.minor)
    return f"{major}:{minor}"


def _check_weight(weight: int) -> None:
    if not 10 <= weight <= 1000:
        raise InvalidArgument(f"Range of blkio weight is from 10 to 1000: {weight}")
