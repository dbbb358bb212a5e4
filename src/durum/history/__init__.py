"""What the record proves and shows: verification, replay and views."""
