# penstock_add_connector(NAME [SMALL [FAST …]]): builds connectors/NAME/*.cpp as a library, and its *_test.cpp as a test;
# -DPENSTOCK_CONNECTOR_NAME=OFF leaves it out. A folder that needs a library of its own has a links.cmake
# that sets PENSTOCK_CONNECTOR_LINKS.
# penstock_finish_connectors(): makes builtin.cpp, the array of pointers to each folder's `type`, and what
# searches it. Both are apart from the interface, so that a connector's test links that connector alone.
# No self-registering statics: the linker drops them from a static library.

penstock_library(penstock_connector_api
  SOURCES api/connector.cpp api/event.cpp
  LINKS penstock_base penstock_config)

# What several connectors share; the linker takes of it what a connector uses.
find_package(OpenSSL REQUIRED)
file(GLOB support_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/support/*.cpp)
set(support_tests ${support_sources})
list(FILTER support_tests INCLUDE REGEX "_test\\.cpp$")
list(FILTER support_sources EXCLUDE REGEX "_test\\.cpp$")
penstock_library(penstock_connector_support
  SOURCES ${support_sources} LINKS penstock_connector_api OpenSSL::SSL)
penstock_test(connector_support_test SOURCES ${support_tests}
  LINKS penstock_connector_support penstock_test_support)

set(PENSTOCK_CONNECTORS "" CACHE INTERNAL "")

function(penstock_add_connector name)
  string(TOUPPER ${name} upper)
  option(PENSTOCK_CONNECTOR_${upper} "Build the connector ${name}" ON)
  if(NOT PENSTOCK_CONNECTOR_${upper})
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  if(NOT sources)
    return()
  endif()
  set(PENSTOCK_CONNECTOR_LINKS "")
  include(${CMAKE_CURRENT_SOURCE_DIR}/${name}/links.cmake OPTIONAL)
  penstock_library(penstock_connector_${name}
    ${ARGN} SOURCES ${sources} LINKS penstock_connector_support ${PENSTOCK_CONNECTOR_LINKS})
  if(tests)
    penstock_test(connector_${name}_test SOURCES ${tests}
      LINKS penstock_connector_${name} penstock_test_support)
  endif()
  set(PENSTOCK_CONNECTORS ${PENSTOCK_CONNECTORS} ${name} CACHE INTERNAL "")
endfunction()

function(penstock_finish_connectors)
  set(declarations "")
  set(entries "")
  foreach(name IN LISTS PENSTOCK_CONNECTORS)
    string(APPEND declarations "namespace ${name} { extern const ConnectorType type; }\n")
    string(APPEND entries "    &${name}::type,\n")
  endforeach()
  set(builtin ${CMAKE_CURRENT_BINARY_DIR}/builtin.cpp)
  file(CONFIGURE OUTPUT ${builtin} CONTENT
"#include \"connectors/api/connector.hpp\"

namespace penstock::connectors {
@declarations@
std::span<const ConnectorType* const> builtin_types() {
  static const ConnectorType* const types[] = {
@entries@  };
  return types;
}

const ConnectorType* find_type(std::string_view name) {
  for (const ConnectorType* type : builtin_types()) {
    if (type->name == name) return type;
  }
  return nullptr;
}
}  // namespace penstock::connectors
" @ONLY)
  list(TRANSFORM PENSTOCK_CONNECTORS PREPEND penstock_connector_ OUTPUT_VARIABLE libraries)
  penstock_library(penstock_connectors SOURCES ${builtin} LINKS penstock_connector_api ${libraries})
endfunction()
