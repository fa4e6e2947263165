"""Measures the memory of a container's processes, for where no cgroup counts it."""

from __future__ import annotations

import os
from typing import Final

_IN_MEMORY: Final = ("dev", "dev/shm")
"""File systems of a container that are in memory."""
_KIB: Final = 1024


def use(first: int) -> int:
    """Returns the memory of a process and all below it with what is in their ``/dev/shm`` and memory files, in bytes.

    What several processes share counts once. Files that are mapped do not count, because the kernel drops them when it
    needs room; nor do segments of System V that no process has mapped. A process that ends meanwhile counts as nothing.
    """
    processes = list(_below(first))
    kept = _in_shared_memory(first) + _in_memory_files(processes)
    alone = mapped = 0
    for pid in processes:
        anonymous, swapped, shared = _of(f"/proc/{pid}/smaps_rollup", ("Pss_Anon:", "SwapPss:", "Pss_Shmem:"))
        alone += anonymous + swapped
        mapped += shared
    if not alone:  # where the kernel tells no shares, what is shared counts several times
        alone = sum(sum(_of(f"/proc/{pid}/status", ("RssAnon:", "VmSwap:"))) for pid in processes)
    # What is mapped of files in memory is in both numbers.
    return alone + max(mapped, kept)


def _below(first: int) -> list[int]:
    found, coming = [], [first]
    while coming:
        pid = coming.pop()
        found.append(pid)
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as children:
                    coming.extend(int(each) for each in children.read().split())
            except OSError:
                continue
    return found


def _of(path: str, names: tuple[str, ...]) -> list[int]:
    """Returns some numbers of a file of the kernel, in bytes; 0 for those that it does not have."""
    found = dict.fromkeys(names, 0)
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(names):
                    name, number = line.split()[:2]
                    found[name] = int(number) * _KIB
    except (OSError, ValueError, IndexError):
        return [0] * len(names)
    return list(found.values())


def _in_shared_memory(pid: int) -> int:
    sizes: dict[int, int] = {}
    for place in _IN_MEMORY:
        try:
            device, found = os.stat(f"/proc/{pid}/root/{place}").st_dev, os.statvfs(f"/proc/{pid}/root/{place}")
        except OSError:
            continue
        sizes[device] = (found.f_blocks - found.f_bfree) * found.f_frsize
    return sum(sizes.values())


def _in_memory_files(processes: list[int]) -> int:
    """The size of the files of `memfd_create` that processes have open, each of them once."""
    sizes: dict[tuple[int, int], int] = {}
    for pid in processes:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            path = f"/proc/{pid}/fd/{name}"
            try:
                if os.readlink(path).startswith("/memfd:"):
                    found = os.stat(path)
                    sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
            except OSError:
                continue
    return sum(sizes.values())
