"""What every algorithm takes in: reward streams, bonuses, auxiliary losses, randomness in the input."""
