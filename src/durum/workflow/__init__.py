"""What people write: workflows of plain Python functions, turned into plans."""
