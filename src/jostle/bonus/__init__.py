"""Intrinsic rewards behind one small interface; they serve in anybody's own training loop."""
