# What the files of the library are called on the system, and what a program links with the static one. CMake knows the
# system from project() on; library.cmake has set the version before.

# shared_name is the file, soname a link to the file for the loader, link_name one for the linker; loaded_name is what a
# program remembers.
string(REGEX REPLACE "^([0-9]+\\.[0-9]+).*$" "\\1" abi_version "${consul_lock_version}")
if(APPLE)
  set(shared_name "libconsul_lock.${consul_lock_version}.dylib")
  set(soname "libconsul_lock.${abi_version}.dylib")
  set(link_name libconsul_lock.dylib)
  set(loaded_name "@rpath/${soname}")
  # The C library of that system is the whole of it, the unwinder too.
  set(native_libs)
  set(static_options)
else()
  set(shared_name "libconsul_lock.so.${consul_lock_version}")
  set(soname "libconsul_lock.so.${abi_version}")
  set(link_name libconsul_lock.so)
  set(loaded_name "${soname}")
  # What `rustc --print native-static-libs` names for this crate, but for -lgcc_s: the compiler adds the
  # unwinder itself, libgcc_s or, in a fully static program, libgcc_eh (and there is no static libgcc_s).
  set(native_libs -lutil -lrt -lpthread -lm -ldl)
  # Without this table of the frames, a panic ends a program whose unwinder is not libgcc's (the static library for musl
  # brings one). gcc leaves the table out of a fully static program alone.
  set(static_options -Wl,--eh-frame-hdr)
endif()
list(JOIN native_libs " " native_libs_line)
