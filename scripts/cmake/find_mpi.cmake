# Any MPI-3: that of mpicxx, or of -DMPI_CXX_COMPILER=.... What FindMPI found of one compiler stays in CMakeCache.txt, and
# would be taken for another one's where a build folder gets another one.
if(DEFINED MOEMILL_MPI_FOUND_OF AND NOT MOEMILL_MPI_FOUND_OF STREQUAL "${MPI_CXX_COMPILER}")
  get_cmake_property(entries CACHE_VARIABLES)
  set(found "^MPI_(CXX_(COMPILE|HEADER_DIR|LIB_NAMES|LINK_FLAGS|SKIP_MPICXX)|RESULT_|.*_LIBRARY$)|^MOEMILL_MPI_IS")
  foreach(entry IN LISTS entries)
    if(entry MATCHES "${found}" AND NOT entry STREQUAL "MPI_CXX_COMPILER")
      unset(${entry} CACHE)
    endif()
  endforeach()
endif()
find_package(MPI REQUIRED COMPONENTS CXX)
set(MOEMILL_MPI_FOUND_OF "${MPI_CXX_COMPILER}" CACHE INTERNAL "the compiler whose MPI_CXX_ entries these are")
