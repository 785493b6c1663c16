# A Consul for the tests of CTest: one fixture, which starts it before the first test that needs it, and ends it after the
# last one.
#
#   consul_lock_test_consul(<name> [TESTS <test>...] [SPEED <n>] [REAL] [PORT <port>])
#
# <name>         the fixture. Other tests need it by FIXTURES_REQUIRED <name>, and the variables of the environment that
#                this function leaves in <name>_ENVIRONMENT.
# TESTS          tests of this folder that need it; they get both.
# SPEED <n>      lets the time of Consul pass n times as fast, for tests that wait for the end of a TTL.
# REAL           a real Consul (`consul agent -dev`) instead of `consul-lock dev`, the model of one: the program that
#                CONSUL_BIN names when the tests run, else `consul` on the PATH.
# PORT <port>    the port; else one that follows from the build folder and the name.
#
# The program is the one that CONSUL_LOCK_COMMAND names when the tests run, else the one that was installed with this
# package, else `consul-lock` on the PATH.

set(consul_lock_testing_script "${CMAKE_CURRENT_LIST_DIR}/consul_lock_test_consul.sh" CACHE INTERNAL "")

function(consul_lock_test_consul name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "REAL" "SPEED;PORT" "TESTS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "consul_lock_test_consul: unknown: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_PORT)
    # Below the range from which systems take the ports of outgoing connections.
    string(SHA256 port "${CMAKE_CURRENT_BINARY_DIR} ${name}")
    string(SUBSTRING "${port}" 0 4 port)
    math(EXPR arg_PORT "12000 + 0x${port} % 20000")
  endif()
  set(options --listen "127.0.0.1:${arg_PORT}")
  if(arg_REAL)
    list(APPEND options --real)
  endif()
  if(arg_SPEED)
    list(APPEND options --speed "${arg_SPEED}")
  endif()
  set(program consul-lock)
  if(EXISTS "${consul_lock_COMMAND}")
    set(program "${consul_lock_COMMAND}")
  endif()

  set(script sh "${consul_lock_testing_script}")
  set(file "${CMAKE_CURRENT_BINARY_DIR}/${name}.consul")
  add_test(NAME "${name}.start" COMMAND ${script} start "${file}" "${program}" ${options})
  add_test(NAME "${name}.stop" COMMAND ${script} stop "${file}")
  set_tests_properties("${name}.start" PROPERTIES FIXTURES_SETUP "${name}" TIMEOUT 60)
  set_tests_properties("${name}.stop" PROPERTIES FIXTURES_CLEANUP "${name}" TIMEOUT 60)

  # The settings of the caller's own Consul are not for the tests.
  set(environment "CONSUL_HTTP_ADDR=127.0.0.1:${arg_PORT}" CONSUL_HTTP_SSL=false CONSUL_HTTP_TOKEN=
      CONSUL_HTTP_TOKEN_FILE= CONSUL_HTTP_AUTH= CONSUL_NAMESPACE= CONSUL_PARTITION=)
  set("${name}_ENVIRONMENT" "${environment}" PARENT_SCOPE)
  if(arg_TESTS)
    set_property(TEST ${arg_TESTS} APPEND PROPERTY FIXTURES_REQUIRED "${name}")
    set_property(TEST ${arg_TESTS} APPEND PROPERTY ENVIRONMENT "${environment}")
  endif()
endfunction()
