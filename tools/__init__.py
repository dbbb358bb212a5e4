"""The project's own development tools: run `python3 tools/tasks.py`."""
