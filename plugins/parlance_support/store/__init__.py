"""The database side of the plugin."""
