"""Measurements that anyone can repeat. They print what they measured, and judge nothing."""
