# The version of the library, for the build (CMakeLists.txt) and the packages (packaging/CMakeLists.txt).

# One place for the version: Cargo.toml.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../Cargo.toml" version_line REGEX "^version = " LIMIT_COUNT 1)
string(REGEX REPLACE "^version = \"([0-9.]+)\"$" "\\1" consul_lock_version "${version_line}")
