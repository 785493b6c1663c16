# Installs the files of the library, and of the command where `command_file` is set, as a CMake package. CMake cannot
# export targets that cargo built, so the package file is written by hand.
#
# The caller has set lib_dir, shared_file, static_file, and perhaps command_file and share_dir; and what library.cmake
# and names.cmake set.

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/consul_lock")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/consul_lockConfig.cmake.in" consul_lockConfig.cmake
  INSTALL_DESTINATION "${package_dir}"
  PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(consul_lockConfigVersion.cmake COMPATIBILITY SameMinorVersion)

# pkg-config finds its own folder, so the files may be moved with the rest. In the folders of the system
# (CONSUL_LOCK_SYSTEM) the prefix is named: pkg-config then leaves out what the compiler knows, and puts a sysroot before
# the rest.
if(CONSUL_LOCK_SYSTEM)
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH pc_prefix "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
  set(pc_prefix "\${pcfiledir}/${pc_prefix}")
endif()
foreach(kind consul_lock consul_lock-static)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${kind}.pc.in" "${kind}.pc" @ONLY)
endforeach()

install(FILES "${shared_file}" DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE
        COMPONENT runtime)
install(FILES "${lib_dir}/${soname}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime)
install(FILES "${lib_dir}/${link_name}" "${static_file}"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development)
install(DIRECTORY "${CMAKE_CURRENT_LIST_DIR}/../include/"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development
        FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/consul_lockConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/consul_lockConfigVersion.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/consul_lockTesting.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/consul_lock_test_consul.sh"
        DESTINATION "${package_dir}" COMPONENT development)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/consul_lock.pc"
              "${CMAKE_CURRENT_BINARY_DIR}/consul_lock-static.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT development)
foreach(document README.md LICENSE-MIT LICENSE-APACHE CHANGELOG.md)
  install(FILES "${CMAKE_CURRENT_LIST_DIR}/../${document}"
          DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT development)
endforeach()

if(command_file)
  install(PROGRAMS "${command_file}" DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT command)
  install(DIRECTORY "${share_dir}/man/" DESTINATION "${CMAKE_INSTALL_MANDIR}" COMPONENT command)
  install(DIRECTORY "${share_dir}/bash-completion" "${share_dir}/zsh" "${share_dir}/fish"
          DESTINATION "${CMAKE_INSTALL_DATADIR}" COMPONENT command)
endif()
