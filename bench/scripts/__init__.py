"""What a user would write instead: the best libraries, and none of the guarantees."""
