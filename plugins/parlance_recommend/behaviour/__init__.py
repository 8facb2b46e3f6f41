"""Events: what people did, and how much it says."""
