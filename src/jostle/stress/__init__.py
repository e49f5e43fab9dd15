"""The stress test: interval statistics of scores, and (to come) conditions seen and unseen."""
