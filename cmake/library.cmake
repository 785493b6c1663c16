# What the build (CMakeLists.txt) and the packages (packaging/CMakeLists.txt) both say of the library.

# One place for the version: Cargo.toml.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../Cargo.toml" version_line REGEX "^version = " LIMIT_COUNT 1)
string(REGEX REPLACE "^version = \"([0-9.]+)\"$" "\\1" consul_lock_version "${version_line}")
string(REGEX REPLACE "^([0-9]+\\.[0-9]+).*$" "libconsul_lock.so.\\1" soname "${consul_lock_version}")

# What `rustc --print native-static-libs` names for this crate, but for -lgcc_s: the compiler adds the
# unwinder itself, libgcc_s or, in a fully static program, libgcc_eh (and there is no static libgcc_s).
set(native_libs -lutil -lrt -lpthread -lm -ldl)
list(JOIN native_libs " " native_libs_line)
# Without this table of the frames, a panic ends a program whose unwinder is not libgcc's (the static library for musl
# brings one). gcc leaves the table out of a fully static program alone.
set(static_options -Wl,--eh-frame-hdr)
