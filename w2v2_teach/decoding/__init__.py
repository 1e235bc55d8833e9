"""From the probabilities of a CTC head to text."""
