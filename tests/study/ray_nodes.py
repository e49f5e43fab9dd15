"""A Ray cluster on this machine, for as long as its standard input is open; not on the network, told to nobody.

python ray_nodes.py CORES…   a node for each number; prints the address, and for each line ``kill`` kills the last one.
"""

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster


def main() -> None:
    small = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}
    first, *others = ({"num_cpus": int(cores), **small} for cores in sys.argv[1:])
    cluster = Cluster(initialize_head=True, head_node_args=first)
    nodes = [cluster.add_node(**node) for node in others]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        assert line.strip() == "kill"
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
