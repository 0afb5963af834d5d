"""Where and with what something was measured."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("offhook", "aiortc", "av", "uvicorn", "uvloop", "httptools", "anyio", "msgspec")


def describe() -> dict[str, Any]:
    """Describe this machine, this moment and the versions in use."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _field(Path("/proc/cpuinfo"), "model name"),
        "memory_gib": round(int(_field(Path("/proc/meminfo"), "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def summary(described: dict[str, Any]) -> str:
    """Say it in three lines."""
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    return (
        f"{described['cores']} cores ({described['cpu']}), {described['memory_gib']} GiB, "
        f"Linux {described['kernel']}, load {described['load_before']:.1f}\n"
        f"Python {described['python']}, {versions}\n"
        f"{described['date']}"
    )


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
