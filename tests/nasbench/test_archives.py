"""Archives are read member by member; nothing unsafe in them is."""

import bz2
import io
import os
import tarfile
import warnings
import zipfile

import official_files
import pytest

from nasjax.core.errors import DataError
from nasjax.nasbench.readers import archives

PATTERN = r"\d+\.txt"


def tar(path, **options):
    return list(archives.read_tar(path, PATTERN, max_bytes=100, **options))


def read_zip(path, max_bytes=100, max_total_bytes=1000):
    return list(
        archives.read_zip(
            path, PATTERN, max_bytes=max_bytes, max_total_bytes=max_total_bytes
        )
    )


FILES = {"folder/1.txt": b"one", "folder/notes.md": b"no", "2.txt": b"two"}
BAD_NAMES = [
    "../1.txt",
    "a/../../1.txt",
    "/etc/1.txt",
    "..\\1.txt",
    "C:\\1.txt",
    "C:/1.txt",
    "../notes.md",
]


def test_matching_files_in_their_order(tmp_path):
    official_files.write_tar(tmp_path / "a.tar", FILES)
    assert tar(tmp_path / "a.tar") == [("1.txt", b"one"), ("2.txt", b"two")]
    official_files.write_zip(tmp_path / "a.zip", FILES)
    assert read_zip(tmp_path / "a.zip") == [("folder/1.txt", b"one"), ("2.txt", b"two")]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_lead_out_are_refused(tmp_path, name):
    official_files.write_tar(tmp_path / "a.tar", {name: b"x"})
    with pytest.raises(DataError, match="a.tar: refused the member .* leads out"):
        tar(tmp_path / "a.tar")
    official_files.write_zip(tmp_path / "a.zip", {name: b"x"})
    with pytest.raises(DataError, match="a.zip: refused the member .* leads out"):
        read_zip(tmp_path / "a.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "a.zip"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("1.txt")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match="refused '1.txt': not a plain file"):
        tar(tmp_path / "a.tar")


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("1.txt")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="a link or encrypted"):
        read_zip(tmp_path / "a.zip")


def test_large_members_are_refused(tmp_path):
    official_files.write_tar(tmp_path / "a.tar", {"1.txt": b"x" * 101})
    with pytest.raises(DataError, match="101 bytes, more than 100"):
        tar(tmp_path / "a.tar")
    official_files.write_zip(tmp_path / "a.zip", {"1.txt": b"x" * 10**6})
    with pytest.raises(DataError, match="1000000 bytes"):
        read_zip(tmp_path / "a.zip")
    official_files.write_zip(
        tmp_path / "b.zip", {f"{i}.txt": b"x" * 9 for i in range(9)}
    )
    with pytest.raises(DataError, match="all files together"):
        read_zip(tmp_path / "b.zip", max_total_bytes=80)


def test_a_size_that_lies_is_refused(tmp_path):
    official_files.write_zip(tmp_path / "a.zip", {"1.txt": b"x" * 5000})
    content = (tmp_path / "a.zip").read_bytes()
    # The declared size, in the local header and in the directory.
    content = content.replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError):
        read_zip(tmp_path / "a.zip")


@pytest.mark.parametrize("size", [0, 10, 600, 1200])
def test_truncated_archives(tmp_path, size):
    official_files.write_tar(tmp_path / "a.tar", {"1.txt": b"x" * 90, "2.txt": b"y"})
    content = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content[:size])
    if size in (0, 10, 600):
        with pytest.raises(DataError, match="a.tar"):
            tar(tmp_path / "a.tar")
    official_files.write_zip(tmp_path / "a.zip", FILES)
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content[: min(size, len(content) - 5)])
    with pytest.raises(DataError, match="a.zip"):
        read_zip(tmp_path / "a.zip")


def test_a_compressed_tar_is_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w:gz") as archive:
        member = tarfile.TarInfo("1.txt")
        archive.addfile(member, io.BytesIO(b""))
    with pytest.raises(DataError, match="not a plain, whole tar"):
        tar(tmp_path / "a.tar")


def test_bzip2_up_to_a_size():
    def unpack(data, size=1000):
        return archives.decompress(data, max_bytes=size, name="file")

    packed = bz2.compress(b"x" * 1000)
    assert unpack(packed) == b"x" * 1000
    assert unpack(packed + bz2.compress(b"y"), 1001) == b"x" * 1000 + b"y"
    bomb = bz2.compress(bytes(10**8))
    for data, message in [
        (packed, "more than 999"),
        (bomb, "more than 999"),
        (packed + packed, "more than 999"),
        (packed[:-1], "truncated"),
        (b"", "empty"),
        (b"not bzip2", "not a bzip2 file"),
    ]:
        with pytest.raises(DataError, match=f"file.*{message}"):
            unpack(data, 999 if "999" in message else 1000)


# --- archives that libraries trip over ------------------------------------------


def test_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.txt", "one")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive.writestr("1.txt", "two")
    with pytest.raises(DataError, match="a.zip: holds '1.txt' twice"):
        read_zip(tmp_path / "a.zip")


def patched(path, *changes):
    """A zip of one file with bytes of its headers replaced."""
    official_files.write_zip(path, {"1.txt": b"x" * 90})
    content = path.read_bytes()
    for old, new in changes:
        assert old in content
        content = content.replace(old, new)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("flag", [1, 0x20, 0x40, 0x41, 0x800])
def test_encrypted_and_patched_members(tmp_path, flag):
    path = patched(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(magic) + offset
        content[place : place + 2] = flag.to_bytes(2, "little")
    path.write_bytes(content)
    if flag == 0x800:
        assert read_zip(path) == [("1.txt", b"x" * 90)]
        return
    with pytest.raises(DataError, match="a.zip.*(encrypted|not a whole zip archive)"):
        read_zip(path)


@pytest.mark.parametrize("name", [b"\xff.txt", b"2\n.tx", b"1\x1b.tx", b"/.txt"])
def test_badly_named_members(tmp_path, name):
    path = patched(tmp_path / "a.zip", (b"1.txt", name))
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + offset + 1] |= 8  # its name is UTF-8
    path.write_bytes(content)
    with pytest.raises(DataError, match="a.zip") as caught:
        read_zip(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("1.txt", "x" * 90)
    with pytest.raises(DataError, match="refused '1.txt': compressed in another way"):
        read_zip(tmp_path / "a.zip")


def test_damaged_data_of_a_member(tmp_path):
    path = patched(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    for place in range(35, 45):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="a.zip"):
            read_zip(path)


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"GNU.sparse.map": "x"},
        {"GNU.sparse.size": "9" * 30},
        {"size": "-1"},
        {"size": "x"},
        {"hdrcharset": "BINARY", "path": "\udcff.txt"},
    ],
)
def test_pax_headers_that_lie(tmp_path, headers):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("1.txt")
        member.size = 600
        member.pax_headers = headers
        archive.addfile(member, io.BytesIO(b"x" * 600))
    try:
        assert all(name == "1.txt" for name, _ in tar(tmp_path / "a.tar"))
    except DataError as error:
        assert str(error).isprintable()


def test_pipes_and_placeholders_in_the_place_of_archives(tmp_path):
    os.mkfifo(tmp_path / "a.tar")
    with pytest.raises(DataError, match="not a plain file"):
        tar(tmp_path / "a.tar")
    (tmp_path / "a.zip").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match="a.zip: a Git LFS pointer"):
        read_zip(tmp_path / "a.zip")
    with pytest.raises(DataError, match="x.pbz2: an HTML page"):
        archives.decompress(b"<html>404</html>", max_bytes=9, name="x.pbz2")
