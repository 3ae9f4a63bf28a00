"""What scripts/prompts.py is made of, in the order in which rows flow: packed, sources, read, folders, batch, messages,
plan, templates, marks, chat, column_template, columns, settings, ids,
special_tokens, convert, write, advice, maker, command."""
