"""The benchmark: the whole path on a real broker, beside scripts that do less, in one run."""
