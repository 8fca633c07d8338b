"""Who gets in, what they see, and what stops everybody else."""
