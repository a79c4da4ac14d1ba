"""An ordinary user's network: one pasta(1) per container, between the container's namespace and the user's
sockets.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from corten.errors import Unsupported
from corten.linux import netns
from corten.network.model import PortBinding

# Inside, every container has the same addresses: nobody else is in its network. (slirp4netns' and podman's
# choice.)
ADDRESS, PREFIX, GATEWAY = "10.0.2.100", 24, "10.0.2.2"
DNS_FORWARDER = "169.254.1.1"  # name server queries to it go to the host's resolver, even one on its loopback
HOST_ADDRESS = "169.254.1.2"  # the host itself, where pasta can map it
_REMEDY = "install it with `sudo apt-get install passt`, or choose --network host or --network none"
_SECONDS = 10.0


class Pasta:
    """Starts and ends the pasta processes of one engine. Blocking: call it from a worker thread."""

    def __init__(self, run_dir: Path) -> None:
        self._directory = run_dir / "pasta"
        self._options: str | None = None

    def attach(self, container_id: str, pid: int, ports: Sequence[PortBinding]) -> None:
        """Connects the network namespace of `pid`; returns when eth0 is configured. Unsupported."""
        program = self._program()
        self._check_tun()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        namespace = netns.open_of(pid)
        # pasta drops the capability to look into other processes before it opens the namespace, and closes
        # descriptors above 2: so the namespace is its standard input. Output goes to a file, for the process
        # that stays would hold a pipe open.
        try:
            with tempfile.TemporaryFile() as output:
                done = subprocess.run(
                    [program, *self._arguments(container_id, ports)],
                    stdin=namespace,
                    stdout=output,
                    stderr=output,
                    timeout=_SECONDS,
                    check=False,
                )
                output.seek(0)
                said = output.read(4096).decode(errors="replace")
        except (OSError, subprocess.TimeoutExpired) as error:
            self.detach(container_id)
            raise Unsupported(f"cannot connect the container: pasta failed: {error}") from error
        finally:
            os.close(namespace)
        if done.returncode:
            self.detach(container_id)
            reason = [line for line in said.splitlines() if line and "syslog" not in line]
            raise Unsupported(
                f"cannot connect the container: pasta says: {reason[-1] if reason else done.returncode}"
            )

    def detach(self, container_id: str) -> None:
        """Ends the container's pasta, if one runs."""
        record = self._record(container_id)
        try:
            pid = int(record.read_text().strip() or "0")
        except (OSError, ValueError):
            pid = 0
        if pid > 1 and _is_pasta(pid):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        record.unlink(missing_ok=True)

    def recorded(self) -> list[str]:
        """The containers for which a pasta was started."""
        return [path.stem for path in self._directory.glob("*.pid")] if self._directory.is_dir() else []

    def host_address(self) -> str:
        """What --add-host's host-gateway means: where the container reaches the host."""
        return HOST_ADDRESS if self._has("--map-guest-addr") else GATEWAY

    def _arguments(self, container_id: str, ports: Sequence[PortBinding]) -> list[str]:
        arguments = ["--config-net", "--quiet", "--ipv4-only", "--ns-ifname", "eth0"]
        arguments += ["--address", ADDRESS, "--netmask", str(PREFIX), "--gateway", GATEWAY]
        # Neither the host's loopback nor its ports are for the container; DNS goes by the forwarder.
        arguments += ["--no-map-gw", "--dns-forward", DNS_FORWARDER, "--tcp-ns", "none", "--udp-ns", "none"]
        if self._has("--map-guest-addr"):
            arguments += ["--map-guest-addr", HOST_ADDRESS]
        for option, protocol in (("--tcp-ports", "tcp"), ("--udp-ports", "udp")):
            specs = [_forward(port) for port in ports if port.protocol == protocol]
            for spec in specs or ["none"]:
                arguments += [option, spec]
        return [
            *arguments,
            "--pid",
            str(self._record(container_id)),
            "--no-netns-quit",
            "--netns",
            "/proc/self/fd/0",
        ]

    def _record(self, container_id: str) -> Path:
        return self._directory / f"{container_id}.pid"

    def _has(self, option: str) -> bool:
        if self._options is None:
            program = shutil.which("pasta")
            if program is None:
                return False
            done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
            self._options = done.stdout + done.stderr
        return option in self._options

    @staticmethod
    def _program() -> str:
        found = shutil.which("pasta")
        if found is None:
            raise Unsupported(
                "cannot connect the container: an ordinary user's network needs the command pasta, which"
                " is not"
                f" installed; {_REMEDY}"
            )
        return found

    @staticmethod
    def _check_tun() -> None:
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise Unsupported(
                "cannot connect the container: /dev/net/tun may not be opened by this user; allow it with"
                " `sudo modprobe tun && sudo chmod 666 /dev/net/tun`, or choose --network host or"
                " --network none"
            )


def _forward(port: PortBinding) -> str:
    """pasta's notation: [address/]host-port:container-port."""
    address = f"{port.host_ip}/" if port.host_ip else ""
    return f"{address}{port.host_port}:{port.container_port}"


def _is_pasta(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(("pasta", "passt"))
    except OSError:
        return False
