# Runs the port as vcpkg would, with stand-ins for the functions of vcpkg that it calls: vcpkg is in no registry of
# packages. They do what vcpkg's own do for this port, and find no mistake in the manner of a port as vcpkg does.
#
#   cmake -DPORT_FOLDER=… -DVERSION=… -DVCPKG_TARGET_ARCHITECTURE=x64 -DVCPKG_LIBRARY_LINKAGE=static
#         -DCURRENT_PACKAGES_DIR=… -DWORK=… -P vcpkg_stand_in.cmake

set(PORT libconsul-lock)

function(vcpkg_download_distfile out)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "URLS;FILENAME;SHA512" "")
  file(DOWNLOAD "${arg_URLS}" "${WORK}/${arg_FILENAME}" EXPECTED_HASH "SHA512=${arg_SHA512}")
  set("${out}" "${WORK}/${arg_FILENAME}" PARENT_SCOPE)
endfunction()

# Gives the one folder of the archive.
function(vcpkg_extract_source_archive out)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ARCHIVE" "")
  file(ARCHIVE_EXTRACT INPUT "${arg_ARCHIVE}" DESTINATION "${WORK}/source")
  file(GLOB folder "${WORK}/source/*")
  set("${out}" "${folder}" PARENT_SCOPE)
endfunction()

# Moves the CMake package to share, which is one folder less deep.
function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "PACKAGE_NAME;CONFIG_PATH" "")
  set(share "${CURRENT_PACKAGES_DIR}/share/${arg_PACKAGE_NAME}")
  file(MAKE_DIRECTORY "${CURRENT_PACKAGES_DIR}/share")
  file(RENAME "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}" "${share}")
  file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/lib/cmake" "${CURRENT_PACKAGES_DIR}/debug/lib/cmake")
  file(READ "${share}/consul_lockConfig.cmake" config)
  string(REPLACE "/../../../" "/../../" config "${config}")
  file(WRITE "${share}/consul_lockConfig.cmake" "${config}")
endfunction()

function(vcpkg_fixup_pkgconfig)
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  foreach(file IN LISTS arg_FILE_LIST)
    file(READ "${file}" text)
    file(APPEND "${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright" "${text}")
  endforeach()
endfunction()

include("${PORT_FOLDER}/portfile.cmake")
