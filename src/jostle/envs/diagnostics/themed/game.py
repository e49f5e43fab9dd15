"""ThemedCatch: a catching game whose rules never change and whose looks come from a theme.

A ball falls from the top of an 8 x 8 grid, one row a step, and drifts one column as it enters rows 2 and 4, always in
the episode's direction unless a wall turns it round. The paddle in the bottom row moves left, stays or moves right. The
episode ends after 7 steps, when the ball is in the paddle's row: +1 if it is in the paddle's column, -1 otherwise.
A paddle that always moves towards the ball catches every ball.

By another rule colour is the information: red balls are to be caught, blue ones to be let pass.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Bool, Float64, Int64, UInt8

from jostle.domain import Quantity
from jostle.domain.counter_rng import integers, random_bits
from jostle.envs.diagnostics.themed.render import CELLS, Painter
from jostle.envs.diagnostics.themed.themes import choose_themes, theme
from jostle.envs.diagnostics.vector import Array, DiagnosticEnv, DiagnosticVectorEnv, Info
from jostle.errors import ConfigError, closest

EPISODE_LENGTH = CELLS - 1
_DRIFT_ROWS = (2, 4)
_BALL, _PADDLE, _DRIFT, _THEME, _KIND = range(5)
Rule = Literal["catch", "colour", "colour-shape"]
_PICTURE = 256
_QUANTITIES = {
    "level": Quantity("level", 0.0, 0.0, 2.0**31, about="the game: its start, drift and theme; 0: by seed and episode")
}


class ThemedCatchVectorEnv(DiagnosticVectorEnv):
    """N catching games.

    Observation: uint8 [pixels, pixels, 3], height x width x RGB as Gymnasium's images are.
    Action: 0 left, 1 stay, 2 right. The episode has 7 steps and terminates.
    `info` of every row: `ball` and `paddle`, int64 [N, 2], (row, column) on the grid, and `theme`, int64 [N]; of an
    ending row `caught`, with its mask `_caught`: the ball was caught, or, where it was to be let pass, was not. All
    describe the observation that comes with them. By the rules of colour there is also `blue`, bool [N].

    Each episode draws its theme from the allowed ones. Starts and drifts do not depend on themes: equal seeds play
    equal games in any split. The quantity ``level`` of a domain names a game: the same in every row and episode.

    Args:
        split: "train" (128 themes), "tune" (16, for choosing hyper-parameters) or "test" (64).
        num_themes: use the first so many themes of the split only.
        themes: use just these themes, of any split.
        pixels: 32 or 64, the picture's side.
        dense: pay +0.2 for a move towards the ball's column and -0.2 for one away from it.
        rule: "catch" every ball. "colour": half of the balls are blue, the others red, in every theme; blue ones are to
            be let pass, and all signs of rewards are the other way round. "colour-shape": in every theme red balls are
            also discs, and blue ones are crosses.
        ball_hue, paddle_hue: turn the colour of one of them by this share of the circle; brightness stays.
        ball_shift, paddle_shift: one of them starts so many columns further to the right, beyond the last one from the
            left again. These four change one thing of the same games, and nothing of their rules.
        render_mode: None or "rgb_array".
    """

    name: ClassVar[str] = "ThemedCatch"
    _STATE: ClassVar[tuple[str, ...]] = ("ball", "paddle", "drift", "slot", "blue", "level")

    def __init__(
        self,
        num_envs: int = 1,
        *,
        split: str = "train",
        num_themes: int | None = None,
        themes: Iterable[int] | None = None,
        pixels: int = 32,
        dense: bool = True,
        rule: Rule = "catch",
        ball_hue: float = 0.0,
        paddle_hue: float = 0.0,
        ball_shift: int = 0,
        paddle_shift: int = 0,
        render_mode: str | None = None,
    ) -> None:
        if rule not in get_args(Rule):
            raise ConfigError(f"ThemedCatch has no rule {rule!r}; {closest(str(rule), get_args(Rule))}")
        if pixels not in (32, 64):
            raise ConfigError(f"ThemedCatch draws 32 or 64 pixels a side, not {pixels}.")
        self._changes = _checked_changes(ball_hue, paddle_hue, ball_shift, paddle_shift)
        self._ball_shift, self._paddle_shift = ball_shift, paddle_shift
        super().__init__(num_envs, Box(0, 255, (pixels, pixels, 3), np.uint8), Discrete(3), render_mode)
        self.themes = choose_themes(split, num_themes, themes)
        self.dense, self.rule = dense, rule
        self._painter = Painter(
            [theme(index) for index in self.themes], pixels, rule, ball_hue=ball_hue, paddle_hue=paddle_hue
        )
        self._theme_of_slot = np.array(self.themes, dtype=np.int64)
        self._ball = np.zeros((num_envs, 2), dtype=np.int64)
        self._paddle = np.zeros(num_envs, dtype=np.int64)
        self._drift = np.zeros(num_envs, dtype=np.int64)
        self._slot = np.zeros(num_envs, dtype=np.int64)
        self._blue = np.zeros(num_envs, dtype=np.bool_)
        self._level = np.zeros(num_envs, dtype=np.int64)

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What can vary, by name."""
        return _QUANTITIES

    def set_quantities(self, values: Mapping[str, Float64[np.ndarray, "R"]], rows: Int64[np.ndarray, "R"]) -> None:
        """The level of the episodes that these rows begin next."""
        for name, value in values.items():
            if name not in _QUANTITIES:
                raise ConfigError(f"ThemedCatch has no quantity {name}; {closest(name, _QUANTITIES)}")
            self._level[rows] = np.rint(value).astype(np.int64)

    def load_state_dict(self, state: dict[str, Array | int]) -> None:
        """Continue from a snapshot, bit for bit; those of former versions know no levels."""
        super().load_state_dict({"level": np.zeros(self.num_envs, np.int64), **state})

    def object_masks(self) -> dict[str, Bool[np.ndarray, "N H W"]]:
        """Which pixels of the last observation show the "ball" and which the "paddle"."""
        self._require_reset()
        return self._painter.masks(self._slot, self._ball, self._paddle_cell(), self._blue)

    def _bits(self, where: Bool[np.ndarray, "N"], purpose: int) -> Array:
        level = self._level[where]
        own = level > 0
        return random_bits(np.where(own, level, self._seed[where]), np.where(own, 0, self._episode[where]), purpose)

    def _begin(self, where: Bool[np.ndarray, "N"]) -> None:
        self._ball[where, 0] = 0
        self._ball[where, 1] = (integers(self._bits(where, _BALL), CELLS) + self._ball_shift) % CELLS
        self._paddle[where] = (integers(self._bits(where, _PADDLE), CELLS) + self._paddle_shift) % CELLS
        self._drift[where] = integers(self._bits(where, _DRIFT), 3) - 1
        self._slot[where] = integers(self._bits(where, _THEME), len(self.themes))
        if self.rule != "catch":
            self._blue[where] = integers(self._bits(where, _KIND), 2) == 1

    def _advance(
        self, action: Int64[np.ndarray, "N"]
    ) -> tuple[Float64[np.ndarray, "N"], Bool[np.ndarray, "N"], dict[str, Array]]:
        row, column = self._ball[:, 0] + 1, self._ball[:, 1]
        before = np.abs(column - self._paddle)
        self._paddle = np.clip(self._paddle + action - 1, 0, CELLS - 1)
        nearer = before - np.abs(column - self._paddle)
        reward = 0.2 * np.where(self._blue, -nearer, nearer) if self.dense else np.zeros(self.num_envs)

        aside = column + self._drift
        self._drift = np.where((aside < 0) | (aside >= CELLS), -self._drift, self._drift)
        drifts = (row == _DRIFT_ROWS[0]) | (row == _DRIFT_ROWS[1])
        column = np.where(drifts, column + self._drift, column)
        # A row that has ended lies at the bottom until it is begun anew.
        self._ball = np.stack([np.minimum(row, CELLS - 1), column], axis=1)

        landed = row == CELLS - 1
        caught = landed & ((column == self._paddle) != self._blue)
        reward += np.where(landed, np.where(caught, 1.0, -1.0), 0.0)
        return reward, landed, {"caught": caught}

    def _observe(self) -> UInt8[np.ndarray, "N P P 3"]:
        return self._painter.draw(self._slot, self._ball, self._paddle_cell(), self._blue)

    def _describe(self) -> Info:
        told: Info = {
            "ball": self._ball.copy(),
            "paddle": self._paddle_cell(),
            "theme": self._theme_of_slot[self._slot],
        }
        return told if self.rule == "catch" else told | {"blue": self._blue.copy()}

    def _frames(self) -> UInt8[np.ndarray, "N H W 3"]:
        scale = _PICTURE // self._painter.pixels
        return self._observe().repeat(scale, axis=1).repeat(scale, axis=2)

    def _paddle_cell(self) -> Int64[np.ndarray, "N 2"]:
        return np.stack([np.full(self.num_envs, CELLS - 1), self._paddle], axis=1)

    def _settings(self) -> dict[str, Array | int]:
        rule = get_args(Rule).index(self.rule)
        own: dict[str, Array | int] = {"themes": self._theme_of_slot.copy(), "dense": int(self.dense), "rule": rule}
        return own | {name: np.array(value) for name, value in self._changes.items() if value}


def _checked_changes(ball_hue: float, paddle_hue: float, ball_shift: int, paddle_shift: int) -> dict[str, float | int]:
    """The changes of one thing, by the names of their options."""
    hues: dict[str, float | int] = {"ball_hue": ball_hue, "paddle_hue": paddle_hue}
    shifts = {"ball_shift": ball_shift, "paddle_shift": paddle_shift}
    for name, hue in hues.items():
        if isinstance(hue, bool) or not isinstance(hue, int | float) or not -1 <= hue <= 1:
            raise ConfigError(f"{name}={hue!r} of ThemedCatch cannot be used: give a share of the circle, -1 to 1.")
    for name, shift in shifts.items():
        if isinstance(shift, bool) or not isinstance(shift, int):
            raise ConfigError(f"{name}={shift!r} of ThemedCatch cannot be used: give a whole number of columns.")
    return {**hues, **shifts}


class ThemedCatchEnv(DiagnosticEnv):
    """One catching game; options as of `ThemedCatchVectorEnv`."""

    _vector: ThemedCatchVectorEnv

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        super().__init__(ThemedCatchVectorEnv(1, render_mode=render_mode, **options))

    def object_masks(self) -> dict[str, Bool[np.ndarray, "H W"]]:
        """Which pixels of the last observation show the "ball" and which the "paddle"."""
        return {name: mask[0] for name, mask in self._vector.object_masks().items()}
