# `cmake --install build --prefix DIR`: a tree that works from anywhere. The program, its man page and completion; the
# Python commands for data in and out as moemill-prompts, moemill-outputs and moemill-report; job scripts, the published
# models' shapes and the demo's model under share/moemill.
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

install(PROGRAMS scripts/prompts.py scripts/outputs.py scripts/report.py DESTINATION ${share}/scripts)
install(FILES scripts/moemill_io.py scripts/tools-requirements.txt scripts/README.md DESTINATION ${share}/scripts)
install(DIRECTORY scripts/moemill_tools DESTINATION ${share}/scripts FILES_MATCHING PATTERN "*.py")
install(DIRECTORY jobs/ DESTINATION ${share}/jobs)
install(DIRECTORY configs/ DESTINATION ${share}/configs)
install(FILES README.md LICENSE CHANGELOG.md CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Links that stay right when the tree is moved: from bin/ up to share/.
file(RELATIVE_PATH from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR}/moemill/scripts)
foreach(command prompts outputs report)
  install(CODE "
    set(link \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/moemill-${command}\")
    message(STATUS \"Installing: \${link}\")
    file(CREATE_LINK ${from_bin}/${command}.py \"\${link}\" SYMBOLIC)")
endforeach()
