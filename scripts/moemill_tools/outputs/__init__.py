"""What outputs.py is made of, in the order rows move: run and prompts_file are read in blocks, rows filters them, formats makes
of them what writers put into a file under a name that place keeps."""
