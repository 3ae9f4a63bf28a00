# bash completion for moemill. Commands, options and keys are read from the program's own help, so they are those of the
# program that is called.
_moemill() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} program=${COMP_WORDS[0]} command="" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${COMP_WORDS[at]} in -*) ;; *) command=${COMP_WORDS[at]}; break ;; esac
  done
  COMPREPLY=()
  if [ -z "$command" ]; then
    local commands
    commands=$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p')
    mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$word")
  elif [ "$before" = --set ]; then
    local keys
    keys=$("$program" run --help 2>/dev/null | sed -n 's/^  \([a-z_]*\.[a-z_.]*\) .*/\1=/p')
    mapfile -t COMPREPLY < <(compgen -W "$keys" -- "$word")
    compopt -o nospace
  elif [[ $word == -* ]]; then
    local options
    options=$("$program" "$command" --help 2>/dev/null | grep -oE '(^|[ [])--[a-z][a-z-]*' | tr -d '[ ')
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
  else
    compopt -o default  # files and folders
  fi
}
complete -F _moemill moemill
