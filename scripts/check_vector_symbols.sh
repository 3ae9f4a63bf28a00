#!/bin/sh
# usage: check_vector_symbols.sh ARCHIVE ALLOWED
# Each file of vector code in the archive must define a global symbol that matches the pattern ALLOWED (its table, or
# the functions that its header declares), and no other global function. The linker could keep a weak (inline or
# template) function that was compiled there with AVX-512 for the whole program, which would crash on CPUs without it.
set -eu
vector_file='_(avx|amx)[a-z0-9_]*\.cpp'
members=$(ar t "$1" | grep -cE "$vector_file" || true)
[ "$members" -gt 0 ] || { echo "no vector code in $1"; exit 1; }
# T: global function, W: weak function, i: resolver; weak data (V) and what sanitizers add (B) hold no instructions.
defined=$(nm -A -C --defined-only "$1" | grep -E "$vector_file" || true)
wrong=$(echo "$defined" | grep -E ' [TWi] ' | grep -vE "$2" || true)
with_allowed=$(echo "$defined" | grep -E "$2" | cut -d: -f2 | sort -u | wc -l)
start=$(echo "$defined" | grep -E ' t _GLOBAL__sub_I' || true)  # code that would run at start on every CPU
if [ -n "$start" ]; then
  echo "vector code that runs when the program starts:"
  echo "$start"
  exit 1
fi
if [ -n "$wrong" ] || [ "$with_allowed" -ne "$members" ]; then
  echo "$with_allowed of $members files of vector code define $2; functions that they may not define:"
  echo "$wrong"
  exit 1
fi
