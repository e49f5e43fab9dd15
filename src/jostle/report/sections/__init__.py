"""The parts of the page, a function each."""
