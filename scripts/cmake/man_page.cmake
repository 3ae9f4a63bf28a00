# Makes moemill.1 from the program's own help: cmake -DPROGRAM=... -DOUT=... -DVERSION=... -P man_page.cmake
string(CONCAT page ".TH MOEMILL 1 \"\" \"moemill ${VERSION}\"\n.SH NAME\n"
                   "moemill \\- bulk text generation with Mixture-of-Experts models under MPI\n")

# A section of literal text: backslashes and leading dots, which troff would interpret, are escaped.
function(add_section title)
  execute_process(COMMAND ${PROGRAM} ${ARGN} --help OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "(scripts/)?(prompts|outputs|report)\\.py" "moemill-\\2" text "${text}")  # as they are installed
  string(REPLACE "\\" "\\e" text "${text}")
  string(REPLACE "-" "\\-" text "${text}")
  string(REGEX REPLACE "(^|\n)([.'])" "\\1\\\\&\\2" text "${text}")
  set(page "${page}.SH ${title}\n.nf\n${text}.fi\n" PARENT_SCOPE)
endfunction()

add_section("COMMANDS")
execute_process(COMMAND ${PROGRAM} --help OUTPUT_VARIABLE help COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\n  [a-z]+  +" commands "${help}")
foreach(command ${commands})
  string(STRIP "${command}" command)
  if(NOT command MATCHES "^(version|help)$")
    string(TOUPPER "${command}" title)
    add_section("MOEMILL ${title}" ${command})
  endif()
endforeach()
string(APPEND page ".SH SEE ALSO\n.BR mpirun (1),\n.BR srun (1)\n")
file(WRITE ${OUT} "${page}")
