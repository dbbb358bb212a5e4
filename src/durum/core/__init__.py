"""What a run is, decided without doing anything: no clock, no randomness, no IO."""
