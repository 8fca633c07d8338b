"""The sync log, the trail of readers, and what is counted from them."""
