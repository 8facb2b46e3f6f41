"""The arithmetic of ranking: vector space, interest, popularity, score and explanation; numpy in, numpy out."""
