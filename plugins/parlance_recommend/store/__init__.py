"""Reading and writing the plugin's tables; every function works inside the caller's connection."""
