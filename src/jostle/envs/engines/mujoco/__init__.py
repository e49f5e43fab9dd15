"""MuJoCo on `mujoco.batch.Batch`: many simulations of one model, each with physics and looks of its own.

Nothing here imports the package `mujoco` before an environment is made.
"""
