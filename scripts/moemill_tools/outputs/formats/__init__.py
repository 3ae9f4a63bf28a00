"""One function per output format, from rows of the run to rows of the file."""
