"""What the service answers, recorded byte for byte."""
