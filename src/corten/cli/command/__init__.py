"""The commands, one file each: OPTIONS, ARGS, USAGE, EXAMPLES and run()."""
