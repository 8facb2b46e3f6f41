"""The plugin's rows: the only modules that know SQL. All functions take the caller's connection."""
