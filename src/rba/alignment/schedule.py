"""The learning rate: warm-up and cosine, times a multiplier that listens to how the alignment goes.

The schedule of a preference method is a guess: how far the policy may move before it forgets what it could is not
known beforehand. `AdaptiveRate` measures it and acts:

* *drift*: every few updates, the divergence KL(reference || policy) a token, on held-out answers that the reference
  drew itself (`rba.alignment.drift`). Above its target the multiplier falls by `backoff`;
* *score*: at every validation, and for every batch of new self-samples with rewards, a moving average. Where it falls
  further below its best than its own noise explains, the multiplier falls by `backoff`;
* an observation that gives no alarm, while no other stands, raises the multiplier by `recover`, up to 1.

So the rate follows warm-up and cosine while all is well, backs off fast (0.7 a measurement, down to a floor) and comes
back slowly (1.05). Its state is a few numbers, kept in the checkpoint.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rba.alignment.settings import AdaptiveSettings


@dataclass
class Trend:
    """A score's moving average, its best so far, and the usual size of its jumps from one value to the next."""

    average: float | None = None
    best: float | None = None
    last: float = 0.0
    jumps: float = 0.0
    count: int = 0

    def update(self, value: float, smooth: float, tolerance: float) -> bool:
        """Take a new value; whether the average falls and lies below its best by over `tolerance` usual jumps."""
        if self.average is None or self.best is None:
            self.average = self.best = self.last = value
            return False
        falling = value < self.average
        self.count += 1
        self.jumps = smooth * self.jumps + (1 - smooth) * abs(value - self.last)
        self.average = smooth * self.average + (1 - smooth) * value
        self.last, self.best = value, max(self.best, self.average)
        usual = self.jumps / (1 - smooth**self.count)  # the average begins at zero, the usual jump does not
        return falling and self.best - self.average > tolerance * usual


class AdaptiveRate:
    """The multiplier in [floor, 1] on the scheduled learning rate; 1 for good where it is switched off."""

    def __init__(self, settings: AdaptiveSettings):
        self.settings = settings
        self.multiplier = 1.0
        self.trends: dict[str, Trend] = {}
        self.alarms: dict[str, bool] = {}

    def observe_drift(self, nats_per_token: float) -> None:
        """Take a measurement of the divergence from the reference."""
        self._act("drift", nats_per_token > self.settings.drift_target)

    def observe_score(self, name: str, value: float) -> None:
        """Take a new value of a score that should rise."""
        trend = self.trends.setdefault(name, Trend())
        self._act(name, trend.update(value, self.settings.smooth, self.settings.tolerance))

    def _act(self, name: str, alarm: bool) -> None:
        self.alarms[name] = alarm
        if not self.settings.enabled:
            return
        if alarm:
            self.multiplier = max(self.settings.floor, self.multiplier * self.settings.backoff)
        elif not any(self.alarms.values()):
            self.multiplier = min(1.0, self.multiplier * self.settings.recover)

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as plain values."""
        trends = {name: asdict(trend) for name, trend in self.trends.items()}
        return {"multiplier": self.multiplier, "alarms": dict(self.alarms), "trends": trends}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.multiplier, self.alarms = state["multiplier"], dict(state["alarms"])
        self.trends = {name: Trend(**trend) for name, trend in state["trends"].items()}
