"""Where logs and artifacts are kept: in memory, in one SQLite file."""
