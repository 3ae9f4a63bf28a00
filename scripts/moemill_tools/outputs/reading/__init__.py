"""A run and its input as blocks of columns: filtered, without duplicates, with scores from other files."""
