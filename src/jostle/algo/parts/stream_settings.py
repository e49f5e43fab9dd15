"""Settings of single reward streams: a mapping from a stream's name to what is its own."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from jostle.algo.settings import Compound, check_type
from jostle.errors import ConfigError, closest
from jostle.plain import plain

EXTRINSIC, SUM = "ext", "sum"
"""The name of the environment's rewards, and of all rewards added up under one value head."""


@dataclass(frozen=True)
class StreamSettings:
    """What one stream has of its own. None: what all streams of its kind have."""

    coef: float | None = None
    """Its weight in the advantage, or in the Q that actions are chosen by."""
    gamma: float | None = None
    """Its discount; of a bonus by name also that of the filter behind its scale."""
    gae_lambda: float | None = None
    """Its λ (PPO)."""
    episodic: bool | None = None
    """Its returns end with the episode."""
    reward_norm: Literal["return_std", "reward_std", "none"] | None = None
    """What its rewards are divided by."""
    value_coef: float | None = None
    """Weight of its values' loss."""


FIELDS: dict[str, Any] = typing.get_type_hints(StreamSettings)
_RANGES = {
    "coef": (0.0, None, "0 or more"),
    "gamma": (0.0, 1.0, "within 0 and 1"),
    "gae_lambda": (0.0, 1.0, "within 0 and 1"),
    "value_coef": (0.0, None, "0 or more"),
}


class StreamTable(Mapping[str, StreamSettings], Compound):
    """The settings of single streams, frozen and hashable.

    >>> StreamTable({"e3b": {"coef": 0.1}}).overlaid({"e3b": {"gamma": 0.9}, "ext": {"coef": 2}})
    {'e3b': {'coef': 0.1, 'gamma': 0.9}, 'ext': {'coef': 2}}

    Raises:
        ConfigError: it is no mapping of mappings, an unknown field, or a value that cannot be used.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        if not isinstance(values, Mapping | None):
            raise ConfigError(
                f"streams={values!r} cannot be used: it must be a mapping from names of streams to what is their own, "
                "such as {'e3b': {'coef': 0.1}}."
            )
        self._of: dict[str, StreamSettings] = {}
        for name, given in (values or {}).items():
            one = given if isinstance(given, StreamSettings) else _read(name, given)
            if one != StreamSettings():
                self._of[plain(name)] = one

    @classmethod
    def read(cls, value: Any) -> Self:
        return value if isinstance(value, cls) else cls(value)

    def overlaid(self, value: Any) -> Self:
        """With the fields of another table in front, stream by stream; a field that is None is none's own any more."""
        if isinstance(value, StreamTable) or not isinstance(value, Mapping):
            return self.read(value)
        mine = self.as_plain()
        given = {name: fields if isinstance(fields, Mapping) else {} for name, fields in value.items()}
        type(self)(value)  # refuses what cannot be used
        return type(self)(mine | {name: mine.get(name, {}) | dict(fields) for name, fields in given.items()})

    def as_plain(self) -> dict[str, dict[str, Any]]:
        """Plain data that `read` takes back."""
        return {
            name: {field: value for field, value in dataclasses.asdict(one).items() if value is not None}
            for name, one in self._of.items()
        }

    def __getitem__(self, name: str) -> StreamSettings:
        return self._of[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def __hash__(self) -> int:
        return hash(frozenset(self._of.items()))

    def __repr__(self) -> str:
        return repr(self.as_plain())


NONE = StreamTable()
"""No stream has anything of its own."""


def _read(name: Any, fields: Any) -> StreamSettings:
    if not isinstance(name, str) or not isinstance(fields, Mapping | None):
        raise ConfigError(
            f"streams has {name!r}: {fields!r}, which cannot be used: it must be a name and a mapping of what is the "
            "stream's own, such as 'e3b': {'coef': 0.1}."
        )
    read = {}
    for field, given in (fields or {}).items():
        where, value = f"streams.{name}.{field}", plain(given)
        if field not in FIELDS:
            raise ConfigError(f"there is no setting '{where}'; {closest(str(field), FIELDS)}")
        check_type(where, value, FIELDS[field])
        least, most, what = _RANGES.get(field, (None, None, ""))
        if value is not None and least is not None and not (least <= value and (most is None or value <= most)):
            raise ConfigError(f"{where}={value!r} cannot be used: it must be {what}.")
        read[field] = value
    return StreamSettings(**read)
