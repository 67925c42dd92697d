# libmicrohttpd: only its header, for mhd.cpp loads it.
pkg_check_modules(MICROHTTPD REQUIRED libmicrohttpd)
add_library(penstock_mhd_header INTERFACE)
target_include_directories(penstock_mhd_header SYSTEM INTERFACE ${MICROHTTPD_INCLUDE_DIRS})
pkg_check_modules(HTTP_ZLIB REQUIRED IMPORTED_TARGET GLOBAL zlib)
set(PENSTOCK_CONNECTOR_LINKS penstock_mhd_header PkgConfig::HTTP_ZLIB Threads::Threads)
