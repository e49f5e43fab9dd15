"""What runs environments: EnvPool, Gymnasium in this process or in workers."""
