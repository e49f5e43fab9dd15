"""The tasks that jostle brings: those of Gymnasium, on its own models, and an arm that reaches."""
