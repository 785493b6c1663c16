"""The wheel and the sdist: what is in them, what they say of themselves, and the same bytes at each build."""

from __future__ import annotations

import email
import os
import pathlib
import re
import shutil
import sys
import tarfile
import zipfile

import pytest
from packages import HERE, REPOSITORY, build, built, compile_library, run
from packaging.metadata import Metadata
from packaging.utils import parse_sdist_filename, parse_wheel_filename

VERSION = re.search(r'^version = "(.*)"$', (REPOSITORY / "Cargo.toml").read_text(), re.MULTILINE)[1]
INFO = f"libconsul_lock-{VERSION}.dist-info"
NATIVE = "consul_lock/_native/libconsul_lock.so"
LICENCES = ("LICENSE-APACHE", "LICENSE-MIT")
SOURCES = HERE / "src"
MODULES = {path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.py")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree."""
    return built(tmp_path_factory.mktemp("dist"))[0]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The sdist of this tree."""
    return built(tmp_path_factory.mktemp("dist"))[1]


def read(wheel: pathlib.Path, name: str) -> bytes:
    """Gives the bytes of one file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def test_the_wheel_has_these_files_and_no_others(wheel):
    about = {f"{INFO}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    about |= {f"{INFO}/licenses/{name}" for name in LICENCES}
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert set(names) == MODULES | about | {"consul_lock/py.typed", NATIVE}
    assert len(names) == len(set(names))
    assert wheel.stat().st_size < 3_000_000


def test_the_sdist_has_no_library(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    sources = {f"src/{name}" for name in MODULES} | {"src/consul_lock/py.typed"}
    others = {*LICENCES, "PKG-INFO", "README.md", "hatch_build.py", "pyproject.toml"}
    # hatchling adds the list of what git ignores, wherever it stands.
    assert names - {".gitignore"} == sources | others


def test_the_metadata_are_valid(wheel, sdist):
    of_the_wheel = read(wheel, f"{INFO}/METADATA")
    with tarfile.open(sdist) as archive:
        of_the_sdist = archive.extractfile(f"libconsul_lock-{VERSION}/PKG-INFO").read()
    # The rules by which an index takes a package.
    told = Metadata.from_email(of_the_wheel, validate=True)
    assert of_the_sdist == of_the_wheel
    assert (told.name, str(told.version)) == ("libconsul-lock", VERSION)
    assert str(told.requires_python) == ">=3.9"
    assert not told.requires_dist
    assert told.license_expression == "MIT OR Apache-2.0"
    assert sorted(told.license_files) == list(LICENCES)
    assert told.description_content_type == "text/markdown"
    assert told.description == (HERE / "README.md").read_text()
    assert parse_sdist_filename(sdist.name) == ("libconsul-lock", told.version)


def test_the_licences_are_those_of_the_library(wheel):
    for name in LICENCES:
        text = (REPOSITORY / name).read_bytes()
        assert (HERE / name).read_bytes() == text
        assert read(wheel, f"{INFO}/licenses/{name}") == text


def test_the_platform_of_the_wheel_is_what_the_library_needs(wheel):
    name, _, _, tags = parse_wheel_filename(wheel.name)
    assert name == "libconsul-lock"
    assert {(tag.interpreter, tag.abi) for tag in tags} == {("py3", "none")}
    about = email.message_from_bytes(read(wheel, f"{INFO}/WHEEL"))
    assert sorted(about.get_all("Tag")) == sorted(map(str, tags))
    assert about["Root-Is-Purelib"] == "false"
    # auditwheel knows some versions of glibc, and gives the next of them.
    said = run(sys.executable, "-m", "auditwheel", "show", wheel)
    judged = re.search(r'platform\s+tag:\s+"manylinux_2_(\d+)_(\w+)"', said)
    ours = re.search(r"manylinux_2_(\d+)_(\w+)", wheel.name)
    assert judged, said
    assert 17 <= int(ours[1]) <= int(judged[1])
    assert ours[2] == judged[2]


def test_two_builds_give_the_same_bytes(tmp_path):
    made = []
    for name, mask in (("one", 0o022), ("two", 0o077)):
        source = tmp_path / name / "bindings/python"
        shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        (tmp_path / name / "packaging").mkdir()
        shutil.copy(REPOSITORY / "packaging/own-name", tmp_path / name / "packaging")
        for path in source.rglob("*"):
            os.utime(path, (1_700_000_000 + mask, 1_700_000_000 + mask))
        before = os.umask(mask)
        try:
            made.append(build(tmp_path / name / "dist", source, SOURCE_DATE_EPOCH=1_600_000_000))
        finally:
            os.umask(before)
    for one, two in zip(*made):
        assert one.name == two.name
        assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(made[0][0]) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2020, 9, 13, 12, 26, 40)}


@pytest.fixture
def compiled(tmp_path):
    """Compiles a library for a test: `compiled(source, *flags)`."""

    def make(source: str, *flags: object, name: str = "libconsul_lock.so") -> pathlib.Path:
        return compile_library(tmp_path / name, source, *flags)

    return make


def test_a_wheel_for_another_platform(tmp_path, compiled):
    library = compiled("int of_this_test(void) { return 1; }", "-g")
    wheel, _ = build(tmp_path / "dist", CONSUL_LOCK_LIBRARY=library, CONSUL_LOCK_PLATFORM="manylinux_2_17_aarch64")
    assert wheel.name == f"libconsul_lock-{VERSION}-py3-none-manylinux_2_17_aarch64.whl"
    (tmp_path / "bundled.so").write_bytes(read(wheel, NATIVE))
    sections = run("readelf", "--section-headers", "--wide", tmp_path / "bundled.so")
    assert ".dynsym" in sections
    assert ".symtab" not in sections
    assert ".debug" not in sections


def test_the_notices_of_the_library_go_into_the_wheel(tmp_path):
    documents = tmp_path / "prefix/share/doc/consul_lock"
    documents.mkdir(parents=True)
    notices = ("THIRD-PARTY-NOTICES", "RUST-STANDARD-LIBRARY.html")
    for name in (*notices, "libconsul_lock.cdx.json", "consul-lock.cdx.json"):
        (documents / name).write_text(name)
    wheel, sdist = build(tmp_path / "dist", CONSUL_LOCK_PREFIX=tmp_path / "prefix")
    with zipfile.ZipFile(wheel) as archive:
        about = {name.partition("/")[2] for name in archive.namelist() if name.startswith(INFO)}
    assert {name for name in about if name.startswith("licenses/")} == {f"licenses/{n}" for n in (*LICENCES, *notices)}
    assert {name for name in about if name.startswith("sboms/")} == {"sboms/libconsul_lock.cdx.json"}
    assert read(wheel, f"{INFO}/licenses/THIRD-PARTY-NOTICES") == b"THIRD-PARTY-NOTICES"
    told = Metadata.from_email(read(wheel, f"{INFO}/METADATA"), validate=True)
    assert sorted(told.license_files) == sorted((*LICENCES, *notices))
    # The sdist is the same for every platform.
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if name.rpartition("/")[2] in notices]


@pytest.fixture
def platform_of(monkeypatch):
    """The function that reads a platform from a library."""
    monkeypatch.syspath_prepend(str(HERE))
    import hatch_build

    return hatch_build.platform_of


def test_an_old_glibc_is_2_17(compiled, platform_of):
    machine = os.uname().machine
    library = compiled("#include <stdlib.h>\nint of_this_test(void) { return abs(rand()); }")
    # Two names of one platform: an old pip knows the second one alone.
    assert platform_of(str(library)) == f"manylinux_2_17_{machine}.manylinux2014_{machine}"


def test_the_newest_symbol_of_glibc_decides(compiled, platform_of, tmp_path):
    versions = tmp_path / "versions"
    versions.write_text("GLIBC_2.5 {};\nGLIBC_2.40 { global: new; };\nGLIBC_PRIVATE {};\n")
    compiled("void new(void) {}", "-nostdlib", f"-Wl,--version-script={versions},-soname,libc.so.6", name="libc.so.6")
    library = compiled("void new(void); void own(void) { new(); }", "-nostdlib", tmp_path / "libc.so.6")
    assert platform_of(str(library)) == f"manylinux_2_40_{os.uname().machine}"


def test_a_library_of_musl(compiled, platform_of, tmp_path):
    machine = os.uname().machine
    name = f"libc.musl-{machine}.so.1"
    compiled("void of_musl(void) {}", "-nostdlib", f"-Wl,-soname,{name}", name=name)
    library = compiled("void of_musl(void); void own(void) { of_musl(); }", "-nostdlib", tmp_path / name)
    assert platform_of(str(library)) == f"musllinux_1_2_{machine}"


def test_a_library_without_a_libc_has_no_platform(compiled, platform_of):
    library = compiled("int of_this_test(void) { return 1; }", "-nostdlib")
    with pytest.raises(ValueError, match="CONSUL_LOCK_PLATFORM"):
        platform_of(str(library))
