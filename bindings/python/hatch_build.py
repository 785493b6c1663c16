"""Adds libconsul_lock to the wheel and names the wheel's platform: hatchling runs this file.

CONSUL_LOCK_BUNDLE is the path of the library. Without this variable the wheel has no library and fits every platform;
`pip install` of the sdist makes such a wheel. `bindings/python/build` sets the variable.

CONSUL_LOCK_PLATFORM replaces the platform that the library itself tells, for instance manylinux_2_17_aarch64.

libconsul_lock.cdx.json beside this file, the list of the crates inside the library, goes where scanners look for the
parts of a wheel (PEP 770).
"""

from __future__ import annotations

import os
import re
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Where the loader of the package looks first.
PLACE = "consul_lock/_native/libconsul_lock.so"
PARTS = "libconsul_lock.cdx.json"
# pip takes no wheel for a glibc older than 2.17 on most processors.
LEAST_GLIBC = (2, 17)
# pip before 20.3, as RHEL 8 has it, knows this glibc by its older name alone.
LEAST_GLIBC_ALIAS = "manylinux2014"
# Rust links its programs with musl 1.2.
MUSL = "musllinux_1_2"
ARCHITECTURES = {
    "EM_X86_64": "x86_64",
    "EM_AARCH64": "aarch64",
    "EM_ARM": "armv7l",
    "EM_386": "i686",
    "EM_PPC64": "ppc64le",
    "EM_RISCV": "riscv64",
    "EM_S390": "s390x",
}


def platform_of(path: str) -> str:
    """Reads the platform tag of a wheel from the library that the wheel brings along.

    With glibc, the tag has the highest version that a symbol of the library needs (PEP 600).
    """
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    with open(path, "rb") as file:
        elf = ELFFile(file)
        machine = elf["e_machine"]
        if machine not in ARCHITECTURES:
            raise ValueError(f"{path} is for {machine}, which has no platform tag here: set CONSUL_LOCK_PLATFORM")
        architecture = ARCHITECTURES[machine]
        sections = list(elf.iter_sections())
        needed = [
            tag.needed
            for section in sections
            if isinstance(section, DynamicSection)
            for tag in section.iter_tags("DT_NEEDED")
        ]
        versions = [
            tuple(map(int, found[1].split(".")))
            for section in sections
            if isinstance(section, GNUVerNeedSection)
            for _, symbols in section.iter_versions()
            for symbol in symbols
            if (found := re.fullmatch(r"GLIBC_(\d+(?:\.\d+)+)", symbol.name))
        ]
    if any(name == "libc.so" or name.startswith("libc.musl-") for name in needed):
        return f"{MUSL}_{architecture}"
    if not versions:
        raise ValueError(f"{path} needs neither glibc nor musl: set CONSUL_LOCK_PLATFORM")
    major, minor = needed_glibc = max(LEAST_GLIBC, *(version[:2] for version in versions))
    platform = f"manylinux_{major}_{minor}_{architecture}"
    return f"{platform}.{LEAST_GLIBC_ALIAS}_{architecture}" if needed_glibc == LEAST_GLIBC else platform


class LibraryHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling's own files write it so
    """Bundles the library that CONSUL_LOCK_BUNDLE names."""

    def dependencies(self) -> list[str]:
        """Names what the build needs besides hatchling: nothing where no library is bundled."""
        return ["pyelftools>=0.31"] if os.environ.get("CONSUL_LOCK_BUNDLE") else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before the files of a wheel are collected."""
        library = os.environ.get("CONSUL_LOCK_BUNDLE")
        # An editable install uses the library of the source tree's user.
        if not library or version == "editable":
            return
        platform = os.environ.get("CONSUL_LOCK_PLATFORM") or platform_of(library)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["force_include"][library] = PLACE
        if os.path.exists(os.path.join(self.root, PARTS)):
            build_data["sbom_files"] = [PARTS]
