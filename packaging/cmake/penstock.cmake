# What every target of the project shares: flags, and one function each for a room and a test.

add_library(penstock_flags INTERFACE)
target_include_directories(penstock_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(penstock_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)
target_compile_definitions(penstock_flags INTERFACE PENSTOCK_VERSION="${PROJECT_VERSION}")
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
  # Files may be larger than 2 GiB. What g++ 7 changed in passing parameters is no concern of ours.
  target_compile_definitions(penstock_flags INTERFACE _FILE_OFFSET_BITS=64)
  target_compile_options(penstock_flags INTERFACE -Wno-psabi)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # Hardening; _FORTIFY_SOURCE needs the optimiser.
  target_compile_options(penstock_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS -fstack-protector-strong)
  target_link_options(penstock_flags INTERFACE -Wl,-z,relro,-z,now -Wl,--gc-sections)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    # Relocations in their packed form, which glibc 2.36 reads, take a sixtieth of the room; for other
    # processors binutils 2.40 would only warn at each link.
    target_link_options(penstock_flags INTERFACE -Wl,-z,pack-relative-relocs)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Once it inlines, g++ 12 sees uninitialised members in the clean-up of temporary strings and
    # variants, and overlapping copies in string concatenation, where there are none (GCC bugs 105562,
    # 105593 and 105651); the other presets keep both warnings.
    target_compile_options(penstock_flags INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
  endif()
endif()
if(PENSTOCK_SANITIZE)
  target_compile_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND PENSTOCK_SANITIZE MATCHES "address")
    # g++ 12 takes the optimiser's view of std::string through ASan for a real overflow.
    target_compile_options(penstock_flags INTERFACE -Wno-maybe-uninitialized -Wno-stringop-overflow)
  endif()
endif()
if(PENSTOCK_FUZZ)
  target_compile_options(penstock_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# penstock_library(NAME [SMALL [FAST …]] SOURCES … LINKS …): a room. SMALL: a release is made for size, but
# for the sources under FAST, which each event passes.
function(penstock_library name)
  cmake_parse_arguments(ARG "SMALL" "" "FAST;SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  if(ARG_SMALL AND CMAKE_BUILD_TYPE STREQUAL "Release")
    foreach(source IN LISTS ARG_SOURCES)
      cmake_path(GET source FILENAME file)
      if(NOT file IN_LIST ARG_FAST)
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Os)
      endif()
    endforeach()
  endif()
  target_link_libraries(${name} PUBLIC penstock_flags ${ARG_LINKS})
endfunction()

# penstock_test(NAME SOURCES … LINKS … [LABELS …]): a Catch2 program, one entry in CTest.
function(penstock_test name)
  if(NOT PENSTOCK_TESTS)
    return()
  endif()
  find_package(Catch2 2 REQUIRED)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_flags ${ARG_LINKS} Catch2::Catch2WithMain)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 300)
endfunction()

# penstock_fuzz(NAME SOURCES … LINKS …): a libFuzzer target under the fuzz preset; elsewhere a program
# that replays the corpus given on its command line (tests/support/fuzz_replay.cpp).
function(penstock_fuzz name)
  if(NOT PENSTOCK_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE penstock_flags ${ARG_LINKS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(PENSTOCK_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/fuzz_replay.cpp)
    add_test(NAME ${name} COMMAND ${name} ${ARG_CORPUS} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "unit" TIMEOUT 300)
  endif()
endfunction()
