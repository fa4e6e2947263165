"""Compiles the list of system calls for a program that takes it compiled, by the machine's own libseccomp."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any, Final

INSTALL: Final = "install libseccomp2"
"""The remedy on a machine that can't compile the list."""
_LIBRARY: Final = "libseccomp.so.2"
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_ARCHITECTURES: Final = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
}
_COMPARISONS: Final = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
_THERE_ALREADY: Final = -17


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def compile_filter(profile: dict[str, Any], target: Path) -> bool:
    """Writes a list of system calls in the kernel's form; returns False if this machine has no library for that.

    Args:
        profile: The list (OCI runtime specification, ``linux.seccomp``).
        target: The file.

    Raises:
        OSError: It can't be compiled or written.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    library.seccomp_init.restype = ctypes.c_void_p
    default = _ERRNO | int(profile["defaultErrnoRet"])
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    try:
        for name in profile["architectures"]:
            result = library.seccomp_arch_add(context, ctypes.c_uint32(_ARCHITECTURES[name]))
            if result not in (0, _THERE_ALREADY):
                raise OSError(-result, f"libseccomp knows no {name}")
        for rule in profile["syscalls"]:
            _add(library, context, rule, default)
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if (result := library.seccomp_export_bpf(context, file)) != 0:
                raise OSError(-result, "libseccomp can't compile the list of system calls")
        finally:
            os.close(file)
    finally:
        library.seccomp_release(context)
    return True


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: dict[str, Any], default: int) -> None:
    action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | int(rule["errnoRet"])
    wanted = rule.get("args", ())
    comparisons = (_Comparison * max(1, len(wanted)))(
        *(
            _Comparison(each["index"], _COMPARISONS[each["op"]], each["value"], each.get("valueTwo", 0))
            for each in wanted
        )
    )
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == -1 or action == default:
            continue
        result = library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(wanted), comparisons)
        # A call that one of the architectures does not have can't be called there either.
        if result not in (0, _THERE_ALREADY, -22, -33):
            raise OSError(-result, f"libseccomp can't add the call {name}")
