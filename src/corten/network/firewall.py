"""NAT, published ports and isolation: one nftables table per engine, changed by whole transactions of nft(8).

A container costs no rule: published ports are elements of four maps, so that publishing and taking back is
one small transaction, and a packet costs one look-up however many ports there are. The text form is used
because the JSON form of nft 1.0.6 (Debian 12) does not accept maps with two-part values, not even its own
output.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence

from corten.errors import Unsupported
from corten.network.model import Endpoint, PortBinding

_TABLE = """\
add table ip {table}
delete table ip {table}
table ip {table} {{
  map tcp_any {{ type inet_service : ipv4_addr . inet_service ; }}
  map udp_any {{ type inet_service : ipv4_addr . inet_service ; }}
  map tcp_at {{ type ipv4_addr . inet_service : ipv4_addr . inet_service ; }}
  map udp_at {{ type ipv4_addr . inet_service : ipv4_addr . inet_service ; }}
  chain loopback {{
    comment "route_localnet must not let a container reach what listens on the host's 127.0.0.1"
    type filter hook prerouting priority -300; policy accept;
    iifname "{bridge}" ip daddr 127.0.0.0/8 drop
  }}
  chain published {{
    dnat ip to ip daddr . tcp dport map @tcp_at
    dnat ip to ip daddr . udp dport map @udp_at
    fib daddr type local dnat ip to tcp dport map @tcp_any
    fib daddr type local dnat ip to udp dport map @udp_any
  }}
  chain prerouting {{
    comment "what is published on 127.0.0.1 is for this host only"
    type nat hook prerouting priority -100; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 return
    jump published
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump published
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {subnet} oifname != "{bridge}" masquerade
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
    ip saddr {subnet} oifname "{bridge}" ct status dnat masquerade
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" iifname "{bridge}" accept
    oifname "{bridge}" ct status dnat accept
    oifname "{bridge}" drop
  }}
}}
"""


class Firewall:
    """The table of one engine. All methods block for some milliseconds: call them from a worker thread."""

    def __init__(self, table: str, bridge: str) -> None:
        self.table = table
        self._bridge = bridge

    def install(self, subnet: str, endpoints: Iterable[Endpoint]) -> None:
        """Makes the table anew, with the published ports of `endpoints`, in one transaction."""
        text = _TABLE.format(table=self.table, bridge=self._bridge, subnet=subnet)
        run_nft(text + "".join(self._elements("add", end.address, end.ports) for end in endpoints))

    def publish(self, address: str, ports: Sequence[PortBinding]) -> None:
        """Publishes `ports` of the container at `address`; FirewallError when the table is gone."""
        if ports:
            run_nft(self._elements("add", address, ports))

    def unpublish(self, address: str, ports: Sequence[PortBinding]) -> None:
        """Takes ports back; FirewallError when they, or the table, are gone."""
        if ports:
            run_nft(self._elements("delete", address, ports))

    def remove(self) -> None:
        """Removes the whole table; no error when there is none. (`add` first: plain delete would fail
        then.)
        """
        run_nft(f"add table ip {self.table}\ndelete table ip {self.table}\n")

    def _elements(self, verb: str, address: str, ports: Sequence[PortBinding]) -> str:
        lines = []
        for port in ports:
            if port.host_ip in ("", "0.0.0.0"):
                name, key = f"{port.protocol}_any", str(port.host_port)
            else:
                name, key = f"{port.protocol}_at", f"{port.host_ip} . {port.host_port}"
            target = f"{address} . {port.container_port}"
            lines.append(f"{verb} element ip {self.table} {name} {{ {key} : {target} }}\n")
        return "".join(lines)


class FirewallError(Unsupported):
    """nft refused a transaction; `reason` is nft's own sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot set up the network bridge: nft refused the rules ({reason}); the kernel needs nf_tables"
            " with nat, masquerade and fib; `corten doctor` says what is missing"
        )
        self.reason = reason


def run_nft(text: str, *options: str) -> str:
    """One transaction; returns nft's output. Unsupported when nft is missing, FirewallError when it
    refuses.
    """
    path = nft_path()
    if path is None:
        raise Unsupported(
            "cannot set up the network bridge: the command nft is not installed; install it with"
            " `apt-get install nftables`, or choose --network host or --network none"
        )
    done = subprocess.run(
        [path, *options, "-f", "-"], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "rror" in line), done.stderr.strip())
        reason = reason.partition("rror: ")[2] or reason
        raise FirewallError(reason or f"exit code {done.returncode}")
    return done.stdout


def nft_path() -> str | None:
    """Where nft is: /usr/sbin is not in an ordinary user's PATH."""
    return shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin:/usr/local/sbin")
