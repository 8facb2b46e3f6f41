"""Models: manifests, sources, builds and the registry."""
