"""The plugin contract: hooks, what they return, and who calls them."""
