"""The themed catching game, whose looks are seen in training or not."""
