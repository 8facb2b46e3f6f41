"""Everything about HTTP: the gateway, problem documents, keys and limits, and the core's own routes."""
