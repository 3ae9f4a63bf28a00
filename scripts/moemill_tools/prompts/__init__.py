"""What scripts/prompts.py is made of, in the order in which rows flow: read, folders, rows, chat, column_template, columns, write,
maker, command."""
