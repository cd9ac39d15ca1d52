"""Which addresses may be connected to: an explicit list, because `ipaddress.is_global` is wrong in places.

On Python 3.11 `is_global` passes 64:ff9b::/96, 2002::/16, ::/96, fec0::/10, 5f00::/16, 3fff::/20, 192.88.99.0/24 and
multicast: each a way to a private address in other clothes. Sources: the IANA special-purpose address registries for
IPv4 and IPv6 (RFC 6890), and the metadata services of the large clouds.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[_Network, ...]:
    return tuple(ip_network(text) for text in texts)


PRIVATE: Final = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",  # shared by carriers
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",  # unique local
)
"""Refused, unless an operator has allowed the organisation's host. With them ::1."""

NEVER: Final = _networks(
    "0.0.0.0/8",  # "this host": Linux connects it to loopback
    "100.100.100.200/32",  # a cloud's metadata service
    "168.63.129.16/32",  # a cloud's own services, in public space
    "169.254.0.0/16",  # link local, with most metadata services
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # 6to4 relays
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "::/128",  # unspecified: Linux connects it to loopback
    "::/96",  # IPv4-compatible
    "::ffff:0:0/96",  # IPv4-mapped
    "::ffff:0:0:0/96",  # IPv4-translated
    "64:ff9b::/96",  # NAT64: an IPv4 address inside
    "64:ff9b:1::/48",  # NAT64, local use
    "100::/64",  # discard
    "100:0:0:1::/64",  # dummy prefix
    "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4: an IPv4 address inside
    "2620:4f:8000::/48",  # AS112
    "3fff::/20",  # documentation
    "5f00::/16",  # segment routing
    "fd00:ec2::/32",  # a cloud's metadata service
    "fe80::/10",  # link local
    "fec0::/10",  # site local
    "ff00::/8",  # multicast
)
"""Refused whatever an operator allows."""

_LOOPBACK: Final = IPv6Address("::1")
"""Private, though it lies within ::/96."""

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that is handed out for public use; the rest is refused without being listed."""


@lru_cache(maxsize=4096)  # asked for every request to an address, always the same few
def may_connect(address: str, *, private_allowed: bool) -> bool:
    """Return whether `address`, the text of one IP address, may be connected to. Text that is no address may not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
        return False
    if parsed == _LOOPBACK:
        return private_allowed
    if _within(parsed, NEVER):
        return False
    if _within(parsed, PRIVATE):
        return private_allowed
    return isinstance(parsed, IPv4Address) or parsed in _GLOBAL_UNICAST


def _within(address: IPv4Address | IPv6Address, networks: tuple[_Network, ...]) -> bool:
    return any(address in network for network in networks)
