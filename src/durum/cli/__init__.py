"""The command line: one service method a verb, and how its answer looks."""
