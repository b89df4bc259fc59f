"""Real data: where it comes from, its licence and checksum, and how to read it."""
