"""What only the kernel knows about a run: loaded packages, device, memory, data sets.

``display_facts`` runs as a transient last cell of every notebook that the top floor executes.
"""

from __future__ import annotations

import contextlib
import platform
import sys
from importlib import metadata
from typing import Any

__all__ = ["display_facts", "facts", "package_versions"]

_MIME = "application/vnd.trustlib.facts+json"
_EXTRAS = ("book", "diffusion", "graphs", "serve")  # the optional parts that can shape a number


def display_facts() -> None:
    """Send ``facts`` to whoever executes the notebook."""
    from IPython.display import display

    display({_MIME: facts()}, raw=True)


def facts() -> dict[str, Any]:
    """Versions, device, memory and data of this process, as JSON values.

    Returns:
        ``python``, ``platform``, ``packages`` (name -> version of what is loaded), ``device``, ``memory``
        (bytes) and ``data`` (name and SHA-256 of every data set that was loaded). Nothing is imported to find
        out: a library that the process has not loaded cannot have shaped its numbers.

    Example:
        >>> found = facts()
        >>> found["python"].count("."), found["memory"]["peak_bytes"] > 0
        (2, True)
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": _loaded(package_versions()),
        "device": _device(),
        "memory": {"peak_bytes": _peak_bytes(), "gpu_peak_bytes": _gpu_peak_bytes()},
        "data": _data(),
    }


def package_versions() -> dict[str, str]:
    """Versions of the distributions that a notebook's numbers can depend on, by name.

    Example:
        >>> {"numpy", "trustlib"} <= package_versions().keys(), "ruff" in package_versions()
        (True, False)
    """
    from packaging.requirements import Requirement

    versions = {"trustlib": metadata.version("trustlib")}
    for text in metadata.requires("trustlib") or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in _EXTRAS):
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[requirement.name] = metadata.version(requirement.name)
    return dict(sorted(versions.items()))


def _loaded(versions: dict[str, str]) -> dict[str, str]:
    """Those distributions of which this process has imported a module."""
    owners = metadata.packages_distributions()
    modules = {name.partition(".")[0] for name in sys.modules}
    loaded = {owner.lower().replace("_", "-") for name in modules for owner in owners.get(name, ())}
    return {name: version for name, version in versions.items() if name.lower().replace("_", "-") in loaded}


def _device() -> dict[str, Any]:
    """What torch computes on, if it was loaded: threads on the CPU, name and CUDA version of each GPU."""
    torch = sys.modules.get("torch")
    device: dict[str, Any] = {"class": "cpu", "processor": _processor()}
    if torch is None:
        return device
    device["threads"] = torch.get_num_threads()
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        device |= {"class": "cuda", "gpus": names, "cuda": torch.version.cuda}
    return device


def _processor() -> str:
    """The processor's marketing name where the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _peak_bytes() -> int:
    """Largest resident memory of this process since it started.

    Linux keeps it per address space in VmHWM; its getrusage includes what the parent held at the fork.
    """
    try:
        with open("/proc/self/status") as lines:
            for line in lines:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _gpu_peak_bytes() -> int | None:
    """Largest memory that torch held on any GPU, None without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return max(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))


def _data() -> list[dict[str, str]]:
    """Name and SHA-256 of every data set that trustlib.data handed out in this process."""
    data = sys.modules.get("trustlib.data")
    if data is None:
        return []
    return [{"name": name, "sha256": digest} for name, digest in data.used()]
