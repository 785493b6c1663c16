"""Builds and installs the package, for the tests of the package."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent


def library() -> pathlib.Path:
    """Gives the path of the library that was built from this tree."""
    return pathlib.Path(os.environ.get("TEST_CONSUL_LOCK_LIBRARY") or os.environ["CONSUL_LOCK_LIBRARY"]).resolve()


def run(*command: object, status: int = 0, environment: dict[str, object] | None = None, **options: object) -> str:
    """Runs a command, and gives what it printed. Its environment is that of the tests without a library."""
    variables = {name: value for name, value in os.environ.items() if name != "CONSUL_LOCK_LIBRARY"}
    variables.update({name: str(value) for name, value in (environment or {}).items()})
    words = [str(word) for word in command]
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 170}
    ran = subprocess.run(words, env=variables, **out, **options)
    assert ran.returncode == status, ran.stdout
    return ran.stdout


def target() -> str:
    """Gives the folder of what is built, where the tools of the build stand already."""
    return os.environ.get("CARGO_TARGET_DIR") or str(REPOSITORY / "target")


def build(
    folder: pathlib.Path, source: pathlib.Path = HERE, **environment: object
) -> tuple[pathlib.Path, pathlib.Path]:
    """Builds the wheel and the sdist, as a release does."""
    settings = {"CONSUL_LOCK_LIBRARY": library(), "CARGO_TARGET_DIR": target(), **environment}
    run(source / "build", folder, environment=settings)
    return _both(folder)


def built(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Gives the wheel and the sdist of this tree: those that `test` has built, else new ones in the folder."""
    done = os.environ.get("TEST_CONSUL_LOCK_DIST")
    return _both(pathlib.Path(done)) if done else build(folder)


def _both(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    [wheel] = folder.glob("*.whl")
    [sdist] = folder.glob("*.tar.gz")
    return wheel, sdist


def builder() -> pathlib.Path:
    """Gives the Python that has the tools of the build."""
    folder = run(HERE / "environment", "build", environment={"CARGO_TARGET_DIR": target()})
    return pathlib.Path(folder.strip(), "bin/python")


def install(folder: pathlib.Path, package: pathlib.Path) -> pathlib.Path:
    """Makes an empty environment, installs a package there without a network, and gives its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    pip = [builder(), "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "--no-index", package)
    return python


def compile_library(path: pathlib.Path, source: str, *flags: object) -> pathlib.Path:
    """Compiles a library for a test."""
    run("cc", "-shared", "-fPIC", "-o", path, "-x", "c", "-", "-x", "none", *flags, input=source)
    return path
