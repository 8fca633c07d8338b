"""Benchmarks that anyone can repeat. Each prints its measurements and does not judge them."""
