"""Whatever fails while a file is written, its name holds the old or the whole new content, and nothing else stays."""

import io
import os
import stat

import pytest

from fastmix.files.atomicfile import atomic_file, check_writable

OLD = b"the old content"
NEW = b"the new content, which is longer" * 10


@pytest.fixture
def path(tmp_path):
    """A file with the old content, alone in its folder."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def write(path, content=NEW):
    with atomic_file(path) as stream:
        stream.write(content)


def test_the_path_is_used_as_given(tmp_path):
    write(str(tmp_path / "plain"))
    assert os.listdir(tmp_path) == ["plain"]
    assert (tmp_path / "plain").read_bytes() == NEW


def test_the_old_content_stays_until_the_end(path):
    with atomic_file(path) as stream:
        stream.write(NEW)
        stream.flush()
        assert path.read_bytes() == OLD
    assert path.read_bytes() == NEW


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_honour_the_umask_and_an_existing_file(path, tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    path.chmod(0o600)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("existing", [True, False])
def test_a_symbolic_link_stays_one(path, tmp_path, existing):
    link = tmp_path / "link"
    link.symlink_to("file" if existing else "elsewhere")
    write(link)
    assert link.is_symlink()
    assert (tmp_path / ("file" if existing else "elsewhere")).read_bytes() == NEW


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no /dev/null")
def test_a_device_or_folder_is_never_replaced(tmp_path):
    for target in ("/dev/null", tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            write(target)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_missing_folder_is_named_beforehand(tmp_path):
    for attempt in (check_writable, write):
        with pytest.raises(FileNotFoundError, match="folder does not exist"):
            attempt(tmp_path / "missing" / "file")


@pytest.mark.parametrize("function", ["open", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_system_call_leaves_the_old_file(path, monkeypatch, function, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        write(path)
    monkeypatch.undo()
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["file"]


def test_an_error_of_the_writer_leaves_the_old_file(path):
    def write_half():
        with atomic_file(path) as stream:
            stream.write(NEW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["file"]


def test_a_disk_that_fills_at_any_byte_leaves_the_old_file(path, monkeypatch):
    """The disk takes 0, 1, 2, ... bytes of the new file and then no more."""

    room = 0

    class FullDisk(io.FileIO):
        def write(self, data):
            view = memoryview(data).cast("B")
            free = room - self.tell()
            super().write(view[: max(0, free)])
            if len(view) > free:
                raise OSError(28, "No space left on device")
            return len(view)

    real_open = open

    def open_on_full_disk(file, mode="r", *arguments, **keywords):
        return FullDisk(file, mode) if mode == "wb" else real_open(file, mode, *arguments, **keywords)

    monkeypatch.setattr("builtins.open", open_on_full_disk)
    while room < len(NEW):
        with pytest.raises(OSError, match="No space left"):
            write(path)
        assert path.read_bytes() == OLD
        assert os.listdir(path.parent) == ["file"]
        room += 1
    write(path)
    assert path.read_bytes() == NEW


def test_a_folder_that_cannot_be_synchronised_is_no_failure(path, monkeypatch):
    """Some network file systems refuse to sync a folder; the file itself is in place by then."""
    real_fsync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write(path)
    assert path.read_bytes() == NEW
