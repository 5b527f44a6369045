"""The command line: one verb for each thing that the library does with a file."""
