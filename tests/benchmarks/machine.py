"""Say what a benchmark ran on, so that its figures can be judged."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent


def describe_machine() -> dict[str, Any]:
    """Give processor, memory, kernel, Python and load, as plain data."""
    uname = platform.uname()
    cpu = _cpu_info()
    return {
        "processor": cpu.get("model name") or uname.machine,
        "virtual": "hypervisor" in cpu.get("flags", ""),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_mb": _memory_mb("MemTotal"),
        "kernel": f"{uname.system} {uname.release}",
        "distribution": _distribution(),
        "huge_pages": _chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "overcommit": _text("/proc/sys/vm/overcommit_memory"),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "executable": Path(sys.executable).name,
        "project": _project(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "time": time.strftime("%Y-%m-%d %H:%M:%S%z"),
    }


def machine_line(machine: dict[str, Any]) -> str:
    """Write the description in one paragraph."""
    virtual = ", virtual" if machine["virtual"] else ""
    return (
        f"{machine['cores']} cores of {machine['processor']}{virtual}, {machine['memory_mb']:,} MB, "
        f"{machine['kernel'].partition('-')[0]} ({machine['distribution']}), huge pages: {machine['huge_pages']}, "
        f"{machine['python']}, {machine['project']}, load {machine['load'][0]} at the start, {machine['time']}"
    )


def available_mb() -> int:
    """Give the megabytes that programs can still have."""
    return _memory_mb("MemAvailable")


def _cpu_info() -> dict[str, str]:
    text = _text("/proc/cpuinfo")
    pairs = (line.partition(":")[::2] for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, value in pairs}


def _memory_mb(name: str) -> int:
    for line in _text("/proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) // 1024
    return 0


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()


def _chosen(path: str) -> str:
    return _text(path).partition("[")[2].partition("]")[0] or "unknown"


def _project() -> str:
    try:
        version = importlib.metadata.version("pytest-forkiso")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    command = ["git", "describe", "--always", "--dirty"]
    try:
        commit = subprocess.run(command, cwd=_HERE, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        commit = ""
    return f"pytest-forkiso {version} {commit}".strip()


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
