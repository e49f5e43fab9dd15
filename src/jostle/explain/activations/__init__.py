"""What goes on in a layer: planes, entanglement, probes, and hidden trajectories."""

from jostle.explain.activations.embedding import Embedding, embed
from jostle.explain.activations.gathering import Activations, gather
from jostle.explain.activations.neighbours import Entanglement, entanglement, soft_nearest_neighbours
from jostle.explain.activations.paths import Trajectories, trajectories
from jostle.explain.activations.pca import Components, fit_pca
from jostle.explain.activations.probes import Probe, Probes, probe, probe_layers

__all__ = [
    "Activations",
    "Components",
    "Embedding",
    "Entanglement",
    "Probe",
    "Probes",
    "Trajectories",
    "embed",
    "entanglement",
    "fit_pca",
    "gather",
    "probe",
    "probe_layers",
    "soft_nearest_neighbours",
    "trajectories",
]
