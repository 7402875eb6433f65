"""From a name to verified bytes: order of the folders, checksums, first use, provenance."""

from __future__ import annotations

import hashlib
import os

import pytest

from trustlib import data
from trustlib.data import ChecksumError, DataNotFoundError, FileSpec, fingerprints

pytestmark = pytest.mark.usefixtures("fresh")
GOOD, BAD = b"good bytes", b"bad bytes"


def sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(fresh, monkeypatch):
    """An existing $TRUSTLIB_DATA."""
    path = fresh / "mine"
    path.mkdir()
    monkeypatch.setenv("TRUSTLIB_DATA", str(path))
    return path


def put(folder, content, path="toy/toy.bin"):
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def test_sha256_is_that_of_the_standard(tmp_path):
    # The published test vector for the message "abc" (FIPS 180-4, example 1).
    path = put(tmp_path, b"abc")
    assert fingerprints.sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_data_folder_comes_before_the_cache(folder, spec_of, pinned):
    data.register(spec_of(pinned(GOOD)))
    cached = put(data.cache_folder(), GOOD)
    assert data.locate("toy") == cached
    mine = put(folder, GOOD)
    assert data.locate("toy") == mine
    assert data.local_file("toy") == mine


def test_cache_serves_what_the_folder_lacks(folder, spec_of, pinned, web):
    data.register(spec_of(pinned(GOOD, web.url("/toy"))))
    cached = put(data.cache_folder(), GOOD)
    assert data.fetch("toy") == cached
    assert web.requests == []


def test_default_cache_is_that_of_the_user(monkeypatch):
    monkeypatch.delenv("TRUSTLIB_CACHE")
    assert "trustlib" in str(data.cache_folder())
    assert data.data_folder() is None


def test_absent_data_says_file_folders_variable_and_command(folder, spec_of, pinned):
    data.register(spec_of(pinned(GOOD), placement="Made by hand."))
    with pytest.raises(DataNotFoundError) as caught:
        data.local_file("toy")
    message = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    for part in ("toy/toy.bin", "$TRUSTLIB_DATA", str(folder), str(data.cache_folder()), "Made by hand."):
        assert part in message
    assert "trustlib data fetch toy" in message


def test_folder_that_does_not_exist_is_named(fresh, spec_of, pinned, monkeypatch):
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh / "typo"))
    data.register(spec_of(pinned(GOOD)))
    with pytest.raises(DataNotFoundError, match=r"\$TRUSTLIB_DATA names .*typo, which is no folder"):
        data.local_file("toy")


def test_altered_file_names_both_hashes_and_the_way_to_accept_it(folder, spec_of, pinned):
    data.register(spec_of(pinned(GOOD)))
    put(folder, BAD)
    with pytest.raises(ChecksumError) as caught:
        data.local_file("toy")
    message = str(caught.value)
    assert sha(GOOD) in message
    assert f"TRUSTLIB_ACCEPT={sha(BAD)}" in message
    assert "unset TRUSTLIB_DATA" in message
    assert data.used() == []


def test_altered_file_in_the_cache_says_to_delete_it(spec_of, pinned):
    data.register(spec_of(pinned(GOOD)))
    path = put(data.cache_folder(), BAD)
    with pytest.raises(
        ChecksumError, match=f"{path} is not the file.*Delete it and run: trustlib data fetch toy"
    ):
        data.fetch("toy")


def test_accepted_hash_is_used_and_recorded_as_what_it_is(folder, spec_of, pinned, monkeypatch):
    data.register(spec_of(pinned(GOOD)))
    path = put(folder, BAD)
    assert data.known_sha256("toy") == sha(GOOD)
    monkeypatch.setenv("TRUSTLIB_ACCEPT", f"{'0' * 64},{sha(BAD)}")
    assert data.known_sha256("toy") == sha(BAD)  # the same answer before and after the use
    assert data.local_file("toy") == path
    assert data.used() == [("toy", sha(BAD))]
    monkeypatch.setenv("TRUSTLIB_ACCEPT", "0" * 64)  # some other hash accepts nothing
    with pytest.raises(ChecksumError):
        data.local_file("toy")


def test_unpinned_file_is_recorded_at_first_use_and_checked_after(folder, spec_of, monkeypatch):
    data.register(spec_of(FileSpec("toy/toy.bin", None)))
    path = put(folder, GOOD)
    assert data.known_sha256("toy") is None
    data.local_file("toy")
    assert data.known_sha256("toy") == sha(GOOD)
    path.write_bytes(BAD + b"!")
    with pytest.raises(ChecksumError, match=r"recorded at first use, in .*\.json") as caught:
        data.local_file("toy")
    assert sha(GOOD) in str(caught.value)


def test_unchanged_file_is_hashed_once_in_a_process_and_once_across_processes(
    folder, spec_of, pinned, monkeypatch
):
    data.register(spec_of(pinned(GOOD)))
    path = put(folder, GOOD)
    hashed = []
    original = fingerprints._hash
    monkeypatch.setattr(fingerprints, "_hash", lambda p: hashed.append(p) or original(p))
    data.local_file("toy")
    data.local_file("toy")
    assert hashed == [path]
    fingerprints._SEEN.clear()  # what a new process knows
    data.local_file("toy")
    assert hashed == [path]
    os.utime(path, ns=(1, 1))  # touched: hashed again
    data.local_file("toy")
    assert hashed == [path, path]


def test_damaged_memory_is_not_believed(folder, spec_of, pinned):
    data.register(spec_of(pinned(GOOD)))
    put(folder, GOOD)
    data.local_file("toy")
    for record in (data.cache_folder() / ".verified").iterdir():
        record.write_text('{"path": "')
    fingerprints._SEEN.clear()
    data.local_file("toy")


def test_cache_that_cannot_be_written_costs_only_time(folder, spec_of, pinned, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRUSTLIB_CACHE", str(tmp_path / "file"))
    data.register(spec_of(pinned(GOOD)))
    path = put(folder, GOOD)
    assert data.local_file("toy") == path
    monkeypatch.setattr(fingerprints, "_hash", lambda p: pytest.fail("hashed twice in one process"))
    assert data.local_file("toy") == path


def test_status_of_a_set_of_several_parts(folder, spec_of, pinned):
    train, test = (
        pinned(GOOD, path="toy/train.bin", part="train"),
        pinned(BAD, path="toy/test.bin", part="test"),
    )
    data.register(spec_of(train, test))
    assert data.status("toy") == data.Status("toy", "absent", None, ("toy/train.bin", "toy/test.bin"))
    put(folder, BAD, "toy/test.bin")
    # The file of 9 bytes is at hand, and nobody has hashed it yet.
    assert data.status("toy") == data.Status("toy", "partial", None, ("toy/train.bin",), 9, None)
    assert data.locate("toy") is None
    put(folder, GOOD, "toy/train.bin")
    assert data.status("toy") == data.Status("toy", "present", folder / "toy", (), 19, None)
    data.local_file("toy", "train")
    assert data.status("toy").verified is None  # one of two
    assert data.fetch("toy") == folder / "toy"
    assert data.status("toy") == data.Status("toy", "present", folder / "toy", (), 19, True)
    fingerprints._SEEN.clear()  # what a new process knows
    assert data.status("toy").verified is True


def test_status_tells_altered_files_from_those_never_looked_at(folder, spec_of, pinned, monkeypatch):
    data.register(spec_of(pinned(GOOD)))
    path = put(folder, BAD)
    assert data.status("toy").verified is None
    with pytest.raises(ChecksumError):
        data.local_file("toy")
    assert data.status("toy").verified is False
    monkeypatch.setenv("TRUSTLIB_ACCEPT", sha(BAD))
    assert data.status("toy").verified is True
    path.write_bytes(GOOD)  # changed after it was hashed
    assert data.status("toy").verified is None


def test_status_of_an_unpinned_file_is_known_after_its_first_use(folder, spec_of):
    data.register(spec_of(FileSpec("toy/toy.bin", None)))
    put(folder, GOOD)
    assert data.status("toy").verified is None
    data.local_file("toy")
    assert data.status("toy").verified is True


def test_hash_of_several_parts_does_not_depend_on_which_were_used(folder, spec_of, pinned):
    train, test = (
        pinned(GOOD, path="toy/train.bin", part="train"),
        pinned(BAD, path="toy/test.bin", part="test"),
    )
    data.register(spec_of(train, test))
    before = data.known_sha256("toy")
    # Lines as sha256sum prints them, in order of the paths.
    assert before == sha(f"{sha(BAD)}  toy/test.bin\n{sha(GOOD)}  toy/train.bin\n".encode())
    put(folder, GOOD, "toy/train.bin")
    data.local_file("toy", "train")
    assert data.used() == [("toy", before)]


def test_first_form_at_hand_is_used(folder, spec_of, pinned):
    first, second = pinned(GOOD, path="toy/first.bin"), pinned(BAD, path="toy/second.bin")
    data.register(spec_of(first, second))
    path = put(folder, BAD, "toy/second.bin")
    assert data.local_file("toy") == path
    assert data.used() == [("toy", sha(BAD))]
    assert data.local_file("toy") == path
    better = put(folder, GOOD, "toy/first.bin")
    assert data.locate("toy") == better


def test_form_with_an_address_is_fetched_if_none_is_at_hand(spec_of, pinned, web):
    second = FileSpec("toy/second.bin", None, urls=(web.serve("/toy", BAD),))
    data.register(spec_of(pinned(GOOD, path="toy/first.bin"), second))
    assert data.fetch("toy") == data.cache_folder() / "toy/second.bin"
    assert data.known_sha256("toy") == sha(BAD)


def test_absent_part_names_all_its_forms(spec_of, pinned):
    data.register(spec_of(pinned(GOOD, path="toy/first.bin"), pinned(BAD, path="toy/second.bin")))
    with pytest.raises(DataNotFoundError, match=r"needs the file toy/first\.bin or toy/second\.bin"):
        data.fetch("toy")


def test_embedded_sets_are_always_there():
    status = data.status("insurance_like")
    assert status.state == "embedded"
    assert status.path.is_file()
    assert data.fetch("insurance_like") == data.locate("insurance_like") == status.path
    assert data.used() == []  # looking is not using
    assert data.log_use("insurance_like") == data.known_sha256("insurance_like")
    assert data.used() == [("insurance_like", data.known_sha256("insurance_like"))]


def test_use_of_files_is_not_logged_by_hand():
    with pytest.raises(ValueError, match="insurance has files"):
        data.log_use("insurance")


@pytest.mark.parametrize(
    "ask", [data.status, data.locate, data.fetch, data.local_file, data.known_sha256, data.card]
)
def test_unknown_names_are_refused(ask):
    with pytest.raises(data.UnknownDatasetError, match="no data set 'nosuch'"):
        ask("nosuch")


@pytest.mark.realdata
def test_pinned_hashes_and_sizes_are_those_of_the_real_files(real_data, monkeypatch):
    monkeypatch.setenv("TRUSTLIB_DATA", str(real_data))
    seen = 0
    for name in data.available():
        for file in data.dataset(name).files:
            if (real_data / file.path).is_file() and file.sha256:
                assert sha((real_data / file.path).read_bytes()) == file.sha256, file.path
                assert (real_data / file.path).stat().st_size == file.size_bytes, file.path
                seen += 1
    if not seen:
        pytest.skip("real data: none of the registered files is under TRUSTLIB_DATA")
