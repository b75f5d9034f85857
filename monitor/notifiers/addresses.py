"""Which addresses may be connected to: a guard at the socket, where no name, redirect or notation can hide one.

Blocks everything that is not public (loopback, link-local, private, shared, multicast, reserved, and IPv4 inside
IPv6) unless a CIDR or the endpoint's host is allowed by the configuration.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64: Final = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")
_COMPATIBLE: Final = IPv6Network("::/96")


class BlockedAddressError(OSError):
    """Not connected, because the address is not allowed."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, f"address {address} is not allowed")


def parse_allow(entries: Iterable[str]) -> tuple[tuple[Network, ...], frozenset[str]]:
    """CIDRs and host names of an allow list.

    Raises:
        ValueError: an entry that is neither.
    """
    networks: list[Network] = []
    hosts = set()
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            if not _is_host(entry):
                raise ValueError(f"allow: {entry!r} is neither a CIDR nor a host name") from None
            hosts.add(entry.lower().rstrip("."))
    return tuple(networks), frozenset(hosts)


def is_address(text: str) -> bool:
    """Whether this is an address in its usual notation."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_host(entry: str) -> bool:
    labels = entry.rstrip(".").split(".")
    # Digits only would be an address that was written wrongly.
    return not labels[-1].isdigit() and all(
        0 < len(label) < 64 and label.replace("-", "").replace("_", "").isalnum() and label.isascii()
        for label in labels
    )


class Guard:
    """Opens sockets for one endpoint, to allowed addresses only."""

    def __init__(self, host: str, allow: Sequence[str]) -> None:
        networks, hosts = parse_allow(allow)
        self._networks = networks
        self._host_is_allowed = host.lower().rstrip(".") in hosts
        self.blocked: ContextVar[list[str] | None] = ContextVar("blocked", default=None)
        """A list set here by the caller collects what was refused; errors of several addresses are merged."""

    def allows(self, address: Address) -> bool:
        """Every reading of the address must be public or allowed."""
        return self._host_is_allowed or all(self._allows(reading) for reading in _readings(address))

    def _allows(self, address: Address) -> bool:
        if any(address.version == network.version and address in network for network in self._networks):
            return True
        return address.is_global and not address.is_multicast

    def open_socket(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        """The `socket_factory` of aiohttp's connector; `info` is a row of getaddrinfo.

        Raises:
            BlockedAddressError: not allowed; nothing was sent, not even a SYN.
        """
        family, kind, protocol, _, address = info
        if not self.allows(ipaddress.ip_address(address[0])):
            refused = self.blocked.get()
            if refused is not None:
                refused.append(str(address[0]))
            raise BlockedAddressError(str(address[0]))
        return socket.socket(family=family, type=kind, proto=protocol)


def _readings(address: Address) -> list[Address]:
    """An IPv6 address can carry an IPv4 one, which is where the packets go."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    carried: list[Address] = [address]
    if address.sixtofour is not None:
        carried.append(address.sixtofour)
    if address.teredo is not None:
        carried.extend(address.teredo)
    if any(address in network for network in (_NAT64, _NAT64_LOCAL)) or (
        address in _COMPATIBLE and int(address) > 1
    ):
        carried.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return carried
