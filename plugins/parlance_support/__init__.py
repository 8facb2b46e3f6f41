"""Customer service: answers from a knowledge base, cites what it answers from, and says when it does not know."""
