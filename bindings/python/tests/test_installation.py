"""The package as users install it: the wheel into an empty environment, the sdist beside a library of the system."""

from __future__ import annotations

import os
import shutil
import tarfile

import pytest
from packages import builder, built, compile_library, install, library, run

WHERE = """
import consul_lock, importlib.metadata, sys
print(importlib.metadata.version("libconsul-lock"), consul_lock.__version__, consul_lock.version())
print(consul_lock.__file__)
print([line.split()[-1] for line in open("/proc/self/maps") if "libconsul_lock" in line][0])
"""
CYCLE = """
import consul_lock
with consul_lock.hold("installed") as lock:
    print(lock.held)
print(consul_lock.holder("installed"))
"""
FAILS = """
try:
    import consul_lock
except ImportError as problem:
    print(type(problem).__module__, type(problem).__name__)
    print(problem)
"""


@pytest.fixture(scope="module")
def wheel_installed(tmp_path_factory):
    """The Python of an environment that has the wheel alone."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel, _ = built(folder / "dist")
    return install(folder / "environment", wheel)


@pytest.fixture(scope="module")
def sdist_installed(tmp_path_factory):
    """The Python of an environment that has the sdist's wheel alone, which has no library."""
    folder = tmp_path_factory.mktemp("sdist")
    _, sdist = built(folder / "dist")
    wheels = ["wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    # The library that a program is to use is not for the wheel.
    environment = {"CONSUL_LOCK_LIBRARY": library()}
    run(builder(), "-m", "pip", *wheels, "--wheel-dir", folder / "wheels", sdist, environment=environment)
    [wheel] = (folder / "wheels").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    return install(folder / "environment", wheel)


def loaded(python, **environment) -> list[str]:
    """Gives the versions, the file of the package and the file of the library."""
    return run(python, "-I", "-c", WHERE, environment=environment).splitlines()


def refused(python, **environment) -> list[str]:
    """Gives the lines of the error of an import."""
    kind, *message = run(python, "-I", "-c", FAILS, environment=environment).splitlines()
    assert kind == "consul_lock.errors LibraryError"
    return message


def test_the_wheel_brings_its_library_along(wheel_installed, tmp_path):
    versions, package, used = loaded(wheel_installed)
    assert len(set(versions.split())) == 1
    site = os.path.dirname(os.path.dirname(package))
    assert site.startswith(str(wheel_installed.parent.parent))
    assert used == os.path.join(site, "consul_lock/_native/libconsul_lock.so")
    assert run(wheel_installed, "-I", "-c", CYCLE, cwd=tmp_path) == "True\nNone\n"


def test_the_variable_wins_over_the_wheel(wheel_installed, tmp_path):
    own = shutil.copy(library(), tmp_path / "libconsul_lock-own.so")
    assert loaded(wheel_installed, CONSUL_LOCK_LIBRARY=own)[2] == str(own)


def test_the_variable_allows_no_other_library(wheel_installed, tmp_path):
    gone = tmp_path / "gone.so"
    head, *tried = refused(wheel_installed, CONSUL_LOCK_LIBRARY=gone)
    assert "what CONSUL_LOCK_LIBRARY names" in head
    assert tried == [f"  {gone}: no such file"]


def test_another_abi_is_refused(wheel_installed, tmp_path):
    old = compile_library(tmp_path / "old.so", "unsigned consul_lock_abi_version(void) { return 1; }")
    _, *tried = refused(wheel_installed, CONSUL_LOCK_LIBRARY=old)
    assert tried == [f"  {old}: has ABI version 1, and this package needs 2"]


def test_a_library_without_all_functions_is_refused(wheel_installed, tmp_path):
    young = compile_library(tmp_path / "part.so", "unsigned consul_lock_abi_version(void) { return 2; }")
    [message] = refused(wheel_installed, CONSUL_LOCK_LIBRARY=young)
    assert message.startswith(f"{young} is older than this package: ")


def test_what_is_not_our_library_is_refused(wheel_installed, tmp_path):
    other = compile_library(tmp_path / "other.so", "int other(void) { return 1; }")
    _, *tried = refused(wheel_installed, CONSUL_LOCK_LIBRARY=other)
    assert tried == [f"  {other}: is not libconsul_lock: the file has no consul_lock_abi_version"]


def test_a_broken_library_in_the_wheel_is_no_reason_to_take_the_systems(tmp_path):
    wheel, _ = built(tmp_path / "dist")
    python = install(tmp_path / "environment", wheel)
    [own] = (tmp_path / "environment").glob("lib/*/site-packages/consul_lock/_native/libconsul_lock.so")
    own.write_text("no library\n")
    shutil.copy(library(), tmp_path / "libconsul_lock.so.0.1")
    _, *tried = refused(python, LD_LIBRARY_PATH=tmp_path)
    assert len(tried) == 1
    assert str(own) in tried[0]


def test_without_a_library_the_error_says_what_was_tried(sdist_installed, tmp_path):
    # Files that are no libraries, before those that this system may have.
    for name in ("libconsul_lock.so.0.1", "libconsul_lock.so"):
        (tmp_path / name).write_text("no library\n" * 100)
    head, *tried = refused(sdist_installed, LD_LIBRARY_PATH=tmp_path)
    assert "make && sudo make install" in head
    assert "CONSUL_LOCK_LIBRARY" in head
    bundled, versioned, plain = tried
    assert bundled.endswith("consul_lock/_native/libconsul_lock.so: no such file")
    assert "libconsul_lock.so.0.1: " in versioned
    assert "libconsul_lock.so: " in plain


def test_the_sdist_uses_the_library_of_the_system(sdist_installed, tmp_path):
    shutil.copy(library(), tmp_path / "libconsul_lock.so.0.1")
    assert loaded(sdist_installed, LD_LIBRARY_PATH=tmp_path)[2] == str(tmp_path / "libconsul_lock.so.0.1")


def test_the_sdist_builds_where_git_is_not(tmp_path):
    _, sdist = built(tmp_path / "dist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    [source] = tmp_path.glob("libconsul_lock-*")
    again = ["-m", "build", "--no-isolation", "--sdist", "--outdir", tmp_path / "again"]
    run(builder(), *again, source, cwd=source)
    [second] = (tmp_path / "again").iterdir()
    with tarfile.open(sdist) as one, tarfile.open(second) as two:
        names = [{name for name in archive.getnames() if not name.endswith(".gitignore")} for archive in (one, two)]
    assert names[0] == names[1]
