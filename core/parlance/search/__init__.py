"""Full-text and vector search over the database's own documents: exact vectors, BM25, and both fused."""
