"""Background work: supervised jobs, one-off jobs, and who leads."""
