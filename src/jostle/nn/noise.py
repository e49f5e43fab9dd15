"""The contract for noise inside a network: explicit state in slots, drawn on demand, never tied to `train()`.

A *stochastic layer* holds D slots of noise in one buffer. A `Noise` owns the generators, fills the slots, and says
which slot each row of a forward pass uses and whether the noise is applied at all:

    noise = Noise(network, seed=0, role="online", slots=2)
    with noise.using(1):
        q = network(obs)             # every row under slot 1
    with noise.using(draw):          # draw: Int[Tensor, "B"], row b under slot draw[b]
        q = network(obs)
    with noise.mean():
        q = network(obs)             # no noise
    noise.draw()                     # fresh noise in every slot, in place

Layers are of two families, noise in the weights and noise in the input, which one network may draw at different times:

    weights = Noise(network, seed=0, role="online", layers=family("weights"))
    looks = Noise(network, seed=0, role="online input", slots=8, layers=family("input"))
"""

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NoReturn

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from jostle.errors import CheckpointError, ConfigError
from jostle.nn.idle_sigma import SigmaWatch

Mode = Literal["sampled", "randomised", "mean", "folded"]
Family = Literal["weights", "input"]
CLEAN = -1
"""The slot id of rows that input layers leave as they are; layers with noisy weights do not know it."""


_ENTERING = threading.Lock()
"""Held while a thread enters or leaves a `Selection.choose`."""


@dataclass(eq=False)
class Selection:
    """What the stochastic layers of one network do in a forward pass; they share one object.

    A copy, also one that was pickled, is a fresh selection without noise: a copied network must not go on with the
    original's draws.

    The first thread inside a `choose` writes into the shared object, so that threads which say nothing (those of
    `torch.nn.DataParallel` and of backward passes) go with it. Every further thread inside has a selection of its own
    among the ``others``, whose ``root`` is the shared one.
    """

    mode: Mode = "sampled"
    draw: Int[Tensor, "..."] = field(default_factory=lambda: torch.tensor(0))
    """The slot of each row; its shape is a prefix of the input's leading shape, () where all rows share one slot.
    Never a Python number: torch.compile would make a graph for each."""
    drawn: bool = False
    folded: bool = False
    origin: tuple[int, str] | None = None
    """Seed and role of the `Noise` that it belongs to."""
    root: "Selection | None" = None
    first: int | None = None
    others: dict[int, "Selection"] = field(default_factory=dict)
    """By the thread's identifier, as ``first``."""

    def __reduce__(self) -> tuple[type["Selection"], tuple[()]]:
        return Selection, ()

    @property
    def here(self) -> "Selection":
        """This thread's."""
        return self.others.get(threading.get_ident(), self)

    @contextmanager
    def choose(self, mode: Mode, draw: Int[Tensor, "..."]) -> Iterator[None]:
        """Within the block, this thread's passes are so; afterwards as before."""
        me = threading.get_ident()
        with _ENTERING:
            enters = self.first != me and me not in self.others
            if enters and self.first is None:
                self.first = me
            elif enters:
                self.others[me] = Selection(root=self)
        mine = self.here
        before = mine.mode, mine.draw
        mine.mode, mine.draw = mode, draw
        try:
            yield
        finally:
            mine.mode, mine.draw = before
            with _ENTERING:
                if enters and mine is self:
                    self.first = None
                elif enters:
                    del self.others[me]

    def require_drawn(self) -> None:
        """Raises: ConfigError before the first draw."""
        if not (self.root or self).drawn:
            raise ConfigError(
                "this stochastic layer has no noise yet: make jostle.nn.noise.Noise(network, seed=…, role=…) for its "
                "network (a deep copy needs one of its own)."
            )

    def require_folded(self) -> None:
        """Raises: ConfigError where no folded weights belong to the present noise."""
        if not (self.root or self).folded:
            raise ConfigError(
                "mode 'folded' needs Noise.fold() after each draw, each loaded state and each optimiser step."
            )


class StochasticLayer(nn.Module, ABC):
    """A layer whose noise is explicit state: one buffer ``noise`` [D, noise_size], which is no part of the state dict.

    A subclass gives `noise_size`, `transform` and `fold`, and reads ``self.selection`` and ``self.noise`` in `forward`.
    ``family`` says what is noisy.
    """

    family: ClassVar[Family] = "weights"
    noise: Float[Tensor, "D N"]

    def __init__(self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self._begin(device, dtype)

    def _begin(self, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """What every stochastic layer has from its start."""
        self._selection = Selection()
        # Empty until `Noise` allocates it; it moves with the layer, which need not have parameters.
        self.register_buffer("noise", torch.empty(0, 0, device=device, dtype=dtype), persistent=False)

    @property
    def selection(self) -> Selection:
        """What this thread's passes do; the layers of one `Noise` share it."""
        shared = self._selection
        return shared.here if shared.others else shared

    @selection.setter
    def selection(self, selection: Selection) -> None:
        self._selection = selection

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """Standard normals that one slot needs."""

    def learned(self) -> tuple[Tensor, Tensor] | None:
        """The mean and the size of the noise, where a layer learns both; `Noise` warns of sizes that nobody trains."""
        return None

    @abstractmethod
    def fold(self, slot: int) -> None:
        """Refresh, in place, the weights that mode ``folded`` uses, with the noise of one slot."""

    def transform(self, normals: Float[Tensor, "S N"]) -> Float[Tensor, "S N"]:
        """The layer's noise from standard normals; the identity unless overridden. May overwrite its argument."""
        return normals

    def allocate(self, slots: int) -> None:
        """(Re)allocate the noise of ``slots`` slots, on the layer's device and in its dtype."""
        with torch.inference_mode(False):
            noise = torch.zeros(slots, self.noise_size, device=self.noise.device, dtype=self.noise.dtype)
            self.register_buffer("noise", noise, persistent=False)

    def write_noise(self, slots: Int[Tensor, "S"], normals: Float[Tensor, "S N"]) -> None:
        """Transform standard normals and copy them in place into the given slots; addresses stay."""
        self.noise.index_copy_(0, slots, self.transform(normals).to(self.noise.dtype))


def family(name: Family) -> Callable[[StochasticLayer], bool]:
    """Whether a layer is of a family, for `Noise(…, layers=family("input"))`."""
    return lambda layer: layer.family == name


def _seed(seed: int, role: str, group: int) -> int:
    """A generator's seed, the same on every machine and in every run (Python's own hash is not)."""
    digest = hashlib.sha256(f"{seed} {group} {role}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


class Noise:
    """Owns the noise of one network: its generators, its slots, and the selection that its layers share.

    Slot ids: group g (its index) and local slot s stand at ``g * slots + s``. A group has its own generator, so one
    `Noise` with groups (0, 1) draws what two with groups (0,) and (1,) draw. PyTorch's global generators are not used.
    Move the network to its device first. Making a second `Noise` for the same layers retires the first. Two with layers
    of their own live side by side, each with its slots and its selection; they need different roles.

    A `Noise` cannot be copied: a copied generator would give a target network the online network's noise. Copy the
    network and make another `Noise` with its own role.

    Args:
        module: the network; one without stochastic layers is allowed and has nothing to draw.
        seed: seed of the run.
        role: what the noise is for, such as ``online``, ``target`` or ``evaluation``; different roles never coincide.
        slots: slots per group, at least 1.
        groups: ids of the noise groups, all different; they belong to groups of environments, not to processes.
        layers: says which layers are meant, such as `family("input")`; None: all.

    Raises:
        ConfigError: no slot, no or repeated groups, layers on several devices, or a role that another `Noise` has in
            this network.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        seed: int,
        role: str,
        slots: int = 1,
        groups: Sequence[int] = (0,),
        layers: Callable[[StochasticLayer], bool] | None = None,
    ) -> None:
        if slots < 1:
            raise ConfigError(f"Noise needs at least 1 slot, not slots={slots}.")
        if not groups or len(set(groups)) != len(groups):
            raise ConfigError(f"Noise needs at least one group and no group twice, not groups={tuple(groups)}.")
        every = {name: m for name, m in module.named_modules() if isinstance(m, StochasticLayer)}
        self.layers = {name: m for name, m in every.items() if layers is None or layers(m)}
        if any(m._selection.origin == (seed, role) for name, m in every.items() if name not in self.layers):
            raise ConfigError(
                f"other layers of this network have a Noise of role '{role}' too, and their draws would coincide: "
                "give this one another role."
            )
        devices = {layer.noise.device for layer in self.layers.values()} or {torch.device("cpu")}
        if len(devices) > 1:
            raise ConfigError(f"the stochastic layers lie on several devices, {sorted(map(str, devices))}; use one.")
        self.role, self.slots, self.groups = role, slots, tuple(groups)
        self.device = devices.pop()
        self._ids = torch.arange(self.total, device=self.device)
        self._clean = torch.tensor(CLEAN, device=self.device)
        self.selection = Selection(draw=self._ids[0], origin=(seed, role))
        self._folded_slot = 0
        self._sizes = [layer.noise_size for layer in self.layers.values()]
        self._generators = [torch.Generator(self.device).manual_seed(_seed(seed, role, g)) for g in self.groups]
        self._watch = SigmaWatch()
        for layer in self.layers.values():
            layer.allocate(self.total)
            layer.selection = self.selection
        self.draw()

    @property
    def total(self) -> int:
        """Slots of all groups together, D."""
        return self.slots * len(self.groups)

    def draw(self, slots: Sequence[int] | None = None) -> None:
        """Redraw local slots of every group in place; None redraws all. Folded weights become stale.

        Draw before a forward pass, not between it and its backward pass.

        Raises: ConfigError for a slot out of range or given twice, or where another `Noise` has taken over the layers.
        """
        self._require_ours()
        local = list(range(self.slots)) if slots is None else [int(s) for s in slots]
        if any(not 0 <= s < self.slots for s in local) or len(set(local)) != len(local):
            raise ConfigError(f"draw needs slots of 0 to {self.slots - 1}, none twice, not {local}.")
        if not local:
            return
        for index, generator in enumerate(self._generators):
            ids = torch.tensor([index * self.slots + s for s in local], device=self.device)
            normals = torch.randn(len(local), sum(self._sizes), generator=generator, device=self.device)
            parts = torch.split(normals, self._sizes, dim=1) if self._sizes else ()
            for layer, part in zip(self.layers.values(), parts, strict=True):
                layer.write_noise(ids, part)
        self.selection.drawn, self.selection.folded = True, False
        self._watch.count(self.layers)

    def reseed(self, seed: int) -> None:
        """Begin anew with the generators of another seed, and draw."""
        self.selection.origin = (seed, self.role)
        for generator, group in zip(self._generators, self.groups, strict=True):
            generator.manual_seed(_seed(seed, self.role, group))
        self.draw()

    def fold(self, slot: int = 0) -> None:
        """Refresh every layer's folded weights with a slot's noise, in place; then `using(mode="folded")` acts with it.

        Call it after each draw and each optimiser step: nothing is guessed.

        Raises: ConfigError for a slot out of range, or where another `Noise` has taken over the layers.
        """
        self._require_ours()
        self._require_slot(slot)
        for layer in self.layers.values():
            layer.fold(slot)
        self.selection.folded, self._folded_slot = True, slot

    def using(self, draw: int | Int[Tensor, "..."] = 0, mode: Mode = "sampled") -> AbstractContextManager[None]:
        """Within the block, forward passes use these slots in this mode; afterwards the former selection returns.

        Threads that share a network have each its own selection; one that has said nothing goes with the first inside.

        Args:
            draw: a slot id for all rows, or a tensor of slot ids whose shape is a prefix of the input's leading shape:
                [B] for inputs [B, p] and [B, T, p]. Where there are input layers alone, `CLEAN` is a slot too.
            mode: ``sampled``; ``randomised``, the same but for the clean flags of slots, which are not heeded;
                ``mean``, without noise; or ``folded``, the weights of the last `fold`, which are constants (their
                parameters get no gradient); layers without weights to fold use that slot's noise, whatever ``draw`` is.

        Raises: ConfigError for an unknown mode or a slot out of range; tensors of ids out of range raise in the layer.
        """
        self._require_ours()
        if mode not in ("sampled", "randomised", "mean", "folded"):
            raise ConfigError(f"noise mode {mode!r} is unknown; use 'sampled', 'randomised', 'mean' or 'folded'.")
        if mode == "folded":
            draw = self._folded_slot
        if not isinstance(draw, Tensor):
            if draw == CLEAN and all(layer.family == "input" for layer in self.layers.values()):
                draw = self._clean
            else:
                self._require_slot(draw)
                draw = self._ids[draw]
        return self.selection.choose(mode, draw)

    def mean(self) -> AbstractContextManager[None]:
        """Within the block, forward passes use no noise: `using(mode="mean")`."""
        return self.using(mode="mean")

    @property
    def nbytes(self) -> int:
        """Bytes of all draws."""
        return sum(layer.noise.nbytes for layer in self.layers.values())

    def state_dict(self) -> dict[str, Any]:
        """The role, the noise of every layer, and every group's generator state (uint8), copied."""
        return {
            "role": self.role,
            "noise": {name: layer.noise.clone() for name, layer in self.layers.items()},
            "generators": {str(g): gen.get_state() for g, gen in zip(self.groups, self._generators, strict=True)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict` bit for bit, in place. Folded weights become stale.

        Raises: CheckpointError where role, layers, slots or groups differ or a generator's state is damaged; nothing is
            changed then.
        """
        self._require_ours()
        role = state.get("role", self.role)  # former states have none
        if role != self.role:
            raise CheckpointError(
                f"the stored noise is of role '{role}' and this one of '{self.role}', whose draws must never be the "
                "same: load each state into the noise of its own role."
            )
        mine = self.state_dict()
        for part in ("noise", "generators"):
            theirs = {key: tuple(value.shape) for key, value in state.get(part, {}).items()}
            ours = {key: tuple(value.shape) for key, value in mine[part].items()}
            if theirs != ours:
                raise CheckpointError(
                    f"the stored {part} of role '{self.role}' are {theirs} but the network has {ours}: "
                    "load it into the same network with the same slots and groups."
                )
        try:
            generators = [
                torch.Generator(self.device).set_state(state["generators"][str(g)].cpu()) for g in self.groups
            ]
        except (RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"the stored generators of role '{self.role}' cannot be used on {self.device}: {error}"
            ) from error
        self._generators = generators
        for name, layer in self.layers.items():
            layer.noise.copy_(state["noise"][name])
        self.selection.drawn, self.selection.folded = True, False

    def _require_slot(self, slot: int) -> None:
        if not 0 <= slot < self.total:
            raise ConfigError(f"slot {slot} does not exist: this noise has the slots 0 to {self.total - 1}.")

    def _require_ours(self) -> None:
        if any(layer._selection is not self.selection for layer in self.layers.values()):
            raise ConfigError(f"another Noise has taken over layers of the one with role '{self.role}': use that one.")
        if any(layer.noise.device != self.device for layer in self.layers.values()):
            raise ConfigError(
                f"the network has left {self.device} since its Noise was made: move it first, then make it."
            )

    def __reduce__(self) -> NoReturn:
        """Stops copy, deepcopy and pickle."""
        raise TypeError(
            "a Noise cannot be copied, for two networks would share its draws: copy the network and give the copy "
            "its own Noise(copy, seed=…, role=…)."
        )
