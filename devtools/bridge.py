"""A network bridge of our own for a private engine, made and removed by ioctl: no iproute2 needed.

With its own bridge a private engine shares neither addresses nor packet filter rules with another one.
"""

from __future__ import annotations

import fcntl
import ipaddress
import shlex
import shutil
import socket
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

_SIOCBRADDBR, _SIOCBRDELBR = 0x89A0, 0x89A1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
_IFF_UP = 0x1


def _ioctl(number: int, argument: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        return fcntl.ioctl(control, number, argument)


def _flags(name: str) -> int:
    answer = _ioctl(_SIOCGIFFLAGS, struct.pack("16sh14x", name.encode(), 0))
    return int(struct.unpack_from("h", answer, 16)[0])


def _address(text: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def free_subnet() -> ipaddress.IPv4Network:
    """Return a private /24 that no route of this machine overlaps."""
    taken = []
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        fields = line.split()
        destination, mask = (struct.pack("<I", int(fields[i], 16)) for i in (1, 7))
        if any(mask):
            taken.append(ipaddress.IPv4Network((destination, socket.inet_ntoa(mask))))
    for candidate in ipaddress.IPv4Network("10.213.0.0/16").subnets(new_prefix=24):
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise OSError("no free subnet for a bridge")


def create(name: str) -> ipaddress.IPv4Network:
    """Make a bridge, give it the first address of a free subnet, and bring it up."""
    subnet = free_subnet()
    _ioctl(_SIOCBRADDBR, name.encode().ljust(16, b"\0"))
    try:
        packed = struct.pack("16s", name.encode())
        _ioctl(_SIOCSIFADDR, packed + _address(str(subnet[1])))
        _ioctl(_SIOCSIFNETMASK, packed + _address(str(subnet.netmask)))
        _ioctl(_SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), _flags(name) | _IFF_UP))
    except OSError:
        remove(name)
        raise
    return subnet


def remove(name: str) -> None:
    """Remove a bridge, if it exists."""
    with suppress(OSError):
        _ioctl(_SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), _flags(name) & ~_IFF_UP))
        _ioctl(_SIOCBRDELBR, name.encode().ljust(16, b"\0"))


def _iptables(*arguments: str) -> str:
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return ""
    done = subprocess.run([program, "-w", *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout


def forward_policy() -> str:
    """Return the packet filter's policy for forwarding, which engines set to DROP; empty when there is none."""
    words = _iptables("-S", "FORWARD").split()
    return words[2] if words[:2] == ["-P", "FORWARD"] else ""


def forget_rules(name: str, subnet: str, forward: str) -> None:
    """Remove the packet filter rules that an engine left for a bridge, and restore the forwarding policy."""
    for table in ("filter", "nat"):
        for line in _iptables("-t", table, "-S").splitlines():
            words = shlex.split(line)
            if words[0] == "-A" and (name in words or subnet in words):
                _iptables("-t", table, "-D", *words[1:])
    if forward == "ACCEPT":
        _iptables("-P", "FORWARD", forward)
