"""libconsul_lock for Conan 2: the package is what the tarball of the platform has, and nothing is compiled."""

import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy, get

required_conan_version = ">=2.0"

PROCESSORS = {"x86_64": "x86_64", "armv8": "aarch64"}


class LibconsulLock(ConanFile):
    name = "libconsul_lock"
    description = "Distributed ephemeral locks on Consul"
    license = "MIT OR Apache-2.0"
    topics = ("consul", "lock", "distributed-systems")
    package_type = "library"
    settings = "os", "arch"
    options = {"shared": [True, False], "libc": ["gnu", "musl"]}
    default_options = {"shared": False, "libc": "gnu"}

    def validate(self):
        if self.settings.os != "Linux" or str(self.settings.arch) not in PROCESSORS:
            raise ConanInvalidConfiguration(f"{self.ref} is for Linux on {' and '.join(PROCESSORS)}")
        if self._target not in self.conan_data["sources"][self.version]:
            raise ConanInvalidConfiguration(f"{self.ref} has no tarball for {self._target}")

    @property
    def _target(self):
        return f"{PROCESSORS[str(self.settings.arch)]}-linux-{self.options.libc}"

    def build(self):
        get(self, **self.conan_data["sources"][self.version][self._target], strip_root=True)

    def package(self):
        library = "lib/libconsul_lock.so*" if self.options.shared else "lib/libconsul_lock.a"
        for pattern in ("include/*", library, "lib/cmake/*"):
            copy(self, pattern, self.build_folder, self.package_folder)
        doc = os.path.join(self.build_folder, "share", "doc", "consul_lock")
        for pattern in ("LICENSE-*", "THIRD-PARTY-NOTICES", "RUST-STANDARD-LIBRARY.html"):
            copy(self, pattern, doc, os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        self.cpp_info.libs = ["consul_lock"]
        # The package has a CMake package of its own, with the same targets as everywhere.
        self.cpp_info.builddirs = [os.path.join("lib", "cmake", "consul_lock")]
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.set_property("pkg_config_name", "consul_lock")
        if not self.options.shared:
            self.cpp_info.system_libs = ["util", "rt", "pthread", "m", "dl"]
            self.cpp_info.exelinkflags = ["-Wl,--eh-frame-hdr"]
