# libconsul_lock for vcpkg: the package is what the tarball of the platform has, and nothing is compiled.
# A triplet for musl says set(CONSUL_LOCK_LIBC musl).

include("${CMAKE_CURRENT_LIST_DIR}/tarballs.cmake")
if(NOT DEFINED CONSUL_LOCK_LIBC)
  set(CONSUL_LOCK_LIBC gnu)
endif()
set(processor x86_64)
if(VCPKG_TARGET_ARCHITECTURE STREQUAL "arm64")
  set(processor aarch64)
endif()
set(target "${processor}-linux-${CONSUL_LOCK_LIBC}")
if(NOT DEFINED "sha512_${target}")
  message(FATAL_ERROR "libconsul_lock has no tarball for ${target}")
endif()

set(package "libconsul_lock-${VERSION}-${target}")
vcpkg_download_distfile(archive
  URLS "${address}/${package}.tar.gz"
  FILENAME "${package}.tar.gz"
  SHA512 "${sha512_${target}}")
vcpkg_extract_source_archive(source ARCHIVE "${archive}")

file(INSTALL "${source}/include/" DESTINATION "${CURRENT_PACKAGES_DIR}/include")
# The library has one form, which is that for debugging, too.
set(folders lib)
if(NOT DEFINED VCPKG_BUILD_TYPE)
  list(APPEND folders debug/lib)
endif()
if(VCPKG_LIBRARY_LINKAGE STREQUAL "dynamic")
  file(GLOB libraries "${source}/lib/libconsul_lock.so*")
  # Its library is not there.
  file(REMOVE "${source}/lib/pkgconfig/consul_lock-static.pc")
else()
  set(libraries "${source}/lib/libconsul_lock.a")
endif()
foreach(folder IN LISTS folders)
  file(INSTALL ${libraries} DESTINATION "${CURRENT_PACKAGES_DIR}/${folder}")
  file(INSTALL "${source}/lib/cmake/" DESTINATION "${CURRENT_PACKAGES_DIR}/${folder}/cmake")
  file(INSTALL "${source}/lib/pkgconfig/" DESTINATION "${CURRENT_PACKAGES_DIR}/${folder}/pkgconfig")
endforeach()
vcpkg_cmake_config_fixup(PACKAGE_NAME consul_lock CONFIG_PATH lib/cmake/consul_lock)
# The same as that of the other form.
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/share")
vcpkg_fixup_pkgconfig()

set(documents "${source}/share/doc/consul_lock")
vcpkg_install_copyright(FILE_LIST "${documents}/LICENSE-MIT" "${documents}/LICENSE-APACHE"
  "${documents}/THIRD-PARTY-NOTICES")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
