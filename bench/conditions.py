"""Under which conditions something was measured: machine, load, versions."""

import importlib.metadata
import os
import platform


def conditions(*packages: str, **more: str) -> dict[str, str]:
    """Return what a reader needs to compare these figures with others."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return {
        "machine": f"{machine}, load average {load} at the end",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions,
        **more,
    }
