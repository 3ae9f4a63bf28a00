"""Files that rows are written to, the types of their columns, and where the file goes."""
