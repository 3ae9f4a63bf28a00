# `cmake --install build --prefix DIR` makes a tree that works from anywhere: the program, its man page and completion; the
# Python commands moemill-prompts, moemill-outputs and moemill-report; and, under share/moemill, job scripts, the shapes of
# published models and the demo's model.
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/moemill)

install(TARGETS moemill RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(CODE "
  set(page \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1/moemill.1\")
  message(STATUS \"Installing: \${page}\")
  execute_process(COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:moemill> -DOUT=\${page} -DVERSION=${PROJECT_VERSION}
    -P ${CMAKE_CURRENT_LIST_DIR}/man_page.cmake COMMAND_ERROR_IS_FATAL ANY)")
install(FILES scripts/completion/moemill.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME moemill)

install(PROGRAMS scripts/prompts.py scripts/outputs.py scripts/report.py scripts/quality.py DESTINATION ${share}/scripts)
install(FILES scripts/moemill_io.py scripts/tools-requirements.txt scripts/README.md DESTINATION ${share}/scripts)
install(DIRECTORY scripts/moemill_tools DESTINATION ${share}/scripts FILES_MATCHING PATTERN "*.py"
        PATTERN __pycache__ EXCLUDE)
install(DIRECTORY jobs/ DESTINATION ${share}/jobs PATTERN __pycache__ EXCLUDE)
install(DIRECTORY configs/ DESTINATION ${share}/configs PATTERN __pycache__ EXCLUDE)
# README.md, and the pages that it links to at the places that the links expect.
install(FILES README.md LICENSE CHANGELOG.md CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES lib/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/lib)
foreach(folder lib/config lib/dataset lib/kernels lib/layers lib/model lib/plan lib/weights tests/torture tests/scale)
  install(FILES ${folder}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()

# Relative links, which stay valid when the tree is moved: from bin/ to share/, and from README's folder to linked folders.
function(install_link from link)
  install(CODE "
    set(link \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${link}\")
    message(STATUS \"Installing: \${link}\")
    file(CREATE_LINK ${from} \"\${link}\" SYMBOLIC)")
endfunction()
file(RELATIVE_PATH from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR}/moemill/scripts)
foreach(command prompts outputs report)
  install_link(${from_bin}/${command}.py ${CMAKE_INSTALL_BINDIR}/moemill-${command})
endforeach()
file(RELATIVE_PATH from_pages ${CMAKE_INSTALL_FULL_DOCDIR} ${CMAKE_INSTALL_FULL_DATADIR}/moemill)
foreach(folder configs jobs scripts)
  install_link(${from_pages}/${folder} ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()
file(RELATIVE_PATH from_share ${CMAKE_INSTALL_FULL_DATADIR}/moemill ${CMAKE_INSTALL_FULL_DOCDIR})
install_link(${from_share}/lib ${share}/lib)  # a page in scripts/ links to lib/dataset
