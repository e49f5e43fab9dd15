"""The microscope: what a trained policy looks at, what it holds, and what it needs."""
