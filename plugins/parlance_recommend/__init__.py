"""Recommendation: rank candidates by what people's behaviour says about the items' text."""
