"""The questions that rules ask of a snapshot, each with what it looked at."""
