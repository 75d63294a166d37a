"""The command line: commands parse arguments, call a function, print."""
