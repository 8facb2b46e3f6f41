"""Items: what they are, and which text stands for them."""
