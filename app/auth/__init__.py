"""Bearer tokens and the keys that verify them: who is asking, never what they may do."""
