# Finds any MPI-3: that of mpicxx, or of -DMPI_CXX_COMPILER=.... FindMPI keeps its results in CMakeCache.txt and would reuse
# them for a different compiler in the same build folder, so they are cleared in that case.
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
