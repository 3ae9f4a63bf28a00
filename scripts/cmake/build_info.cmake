# Writes the header that identifies this build: version, git commit (and whether the tree is modified), compiler.
cmake_policy(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE} rev-parse HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET RESULT_VARIABLE rc)
if(rc)
  set(commit "unknown")
else()
  execute_process(COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no
                  OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT changes STREQUAL "")
    set(commit "${commit}-dirty")
  endif()
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT
"#define MOEMILL_VERSION \"@VERSION@\"
#define MOEMILL_GIT_COMMIT \"@commit@\"
#define MOEMILL_COMPILER \"@COMPILER@\"
#define MOEMILL_BUILD_TYPE \"@BUILD_TYPE@\"
#define MOEMILL_HDF5_VERSION \"@HDF5_VERSION@\"
")
