"""Performs what decide commands, records what comes back, and replays it."""
