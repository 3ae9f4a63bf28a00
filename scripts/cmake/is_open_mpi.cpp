// Compiles with Open MPI only: asked by moemill_options.cmake.
#include <mpi.h>
#ifndef OPEN_MPI
#error "not Open MPI"
#endif
int main() { return 0; }
