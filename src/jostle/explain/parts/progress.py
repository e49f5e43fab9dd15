"""How far an explanation is, over all of its parts, and whether it goes on."""

from collections.abc import Callable, Mapping

Notify = Callable[[int, int, str], None]
PARTS_OF = 100
"""Units of progress to a unit of a part's weight."""


class Stopped(Exception):
    """Somebody asked to stop: what is whole has been kept."""


class Progress:
    """Counts units of work, and asks between them whether to go on.

    Args:
        weights: part -> its share of the time, roughly.
        notify: called with units done, in all, and what comes next.
        stop: asked each time.
    """

    def __init__(self, weights: Mapping[str, int], notify: Notify, stop: Callable[[], bool]) -> None:
        self.notify, self.stop = notify, stop
        self._weights = {name: PARTS_OF * weight for name, weight in weights.items()}
        self.total = sum(self._weights.values())
        self._before, self._own, self._units, self._done, self._said = 0, 0, 1, 0, ""

    def begin(self, part: str) -> None:
        """The next part."""
        self._before += self._own
        self._own, self._units, self._done = self._weights[part], 1, 0

    def expect(self, units: int) -> None:
        """The part has so many units."""
        self._units = max(units, 1)

    def step(self, what: str) -> None:
        """A unit begins.

        Raises:
            Stopped: somebody asked to stop.
        """
        self._done, self._said = self._done + 1, what
        self._tell(self._done - 1)

    def within(self, done: int, total: int) -> None:
        """So much of a unit is done; for `notify` of the functions that take one.

        Raises:
            Stopped: somebody asked to stop.
        """
        self._tell(self._done - 1 + done / max(total, 1))

    def _tell(self, units: float) -> None:
        if self.stop():
            raise Stopped
        share = min(max(units, 0.0) / self._units, 1.0)
        self.notify(self._before + int(share * self._own), self.total, self._said)
