# Libraries and compile options as interface targets, so that each part links only what it needs and nothing is global.

find_package(Threads REQUIRED)
include(find_mpi)
set(HDF5_PREFER_PARALLEL FALSE)
find_package(HDF5 REQUIRED COMPONENTS C)
if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)  # Boost says itself where it is; newer CMakes no longer search for it
endif()
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(PkgConfig REQUIRED)
pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
# If the first MPI is Open MPI and MPICH is installed too, the exchange tests and a moemill_with_mpich are made for MPICH.
try_compile(MOEMILL_MPI_IS_OPEN_MPI ${CMAKE_BINARY_DIR}/mpi_kind ${CMAKE_CURRENT_LIST_DIR}/is_open_mpi.cpp
            LINK_LIBRARIES MPI::MPI_CXX)
find_program(MPICH_MPIEXEC NAMES mpiexec.mpich)
if(MOEMILL_MPI_IS_OPEN_MPI AND MPICH_MPIEXEC)
  pkg_check_modules(mpich QUIET IMPORTED_TARGET mpich)
endif()
find_path(RANDOM123_INCLUDE_DIR Random123/philox.h REQUIRED)
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)

add_library(moemill_flags INTERFACE)
target_include_directories(moemill_flags INTERFACE ${CMAKE_SOURCE_DIR}/lib)
target_include_directories(moemill_flags SYSTEM INTERFACE ${RANDOM123_INCLUDE_DIR} ${XXHASH_INCLUDE_DIR})
# -ffp-contract=off: a multiply and an add become an FMA only where the code asks for it (same bits everywhere).
# Two warnings of g++ 12 concern its own inlining of the standard library.
target_compile_options(moemill_flags INTERFACE -Wall -Wextra -ffp-contract=off
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)
target_compile_definitions(moemill_flags INTERFACE OMPI_SKIP_MPICXX=1 SPDLOG_FMT_EXTERNAL=1)
if(MOEMILL_WERROR)
  target_compile_options(moemill_flags INTERFACE -Werror)
endif()
target_link_libraries(moemill_flags INTERFACE Threads::Threads fmt::fmt)

add_library(moemill_hdf5 INTERFACE)
target_include_directories(moemill_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(moemill_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
