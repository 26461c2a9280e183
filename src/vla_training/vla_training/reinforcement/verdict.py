"""Did it help? Both policies drive the same episodes, and a paired test decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vla_training.evaluation.compare import SuccessComparison, SuiteComparison, compare
from vla_training.evaluation.conclusions import conclusions
from vla_training.evaluation.evaluate import evaluate
from vla_training.evaluation.report import EvaluationReport
from vla_training.reinforcement.config import FIRST_VERDICT_SEED, VerdictConfig

BEFORE_FILE: Final = "before.json"
AFTER_FILE: Final = "after.json"
VERDICT_FILE: Final = "verdict.json"

_MARGIN: Final = 0.02


@dataclass(frozen=True)
class Verdict:
    """What came of a fine-tuning.

    Attributes:
        kept: Whether the tuned policy is the result.
        reason: Why, as a sentence.
        figure: What had to become better.
        decided: The paired comparison of that figure, A before and B after.
        comparison: As of `vla compare`.
    """

    kept: bool
    reason: str
    figure: str
    decided: SuccessComparison
    comparison: SuiteComparison

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "kept": self.kept,
            "reason": self.reason,
            "figure": self.figure,
            self.figure: self.decided.to_dict(),
            "comparison": {
                **self.comparison.to_dict(),
                "conclusions": conclusions(self.comparison, _MARGIN),
            },
        }


def judge(
    before: Path, after: Path, folder: Path, config: VerdictConfig, workers: int, progress: bool
) -> Verdict:
    """Let both policies drive, compare, and decide.

    Args:
        before: Checkpoint that was begun with.
        after: Checkpoint that came of it.
        folder: Where both evaluations are written, for `vla compare`.
        config: What they drive, and what decides.
        workers: Processes.
        progress: Whether to show bars.

    Raises:
        EvaluationError: If an episode cannot be driven or a file cannot be written.
    """
    reports = []
    for policy, name in ((before, BEFORE_FILE), (after, AFTER_FILE)):
        report = evaluate(
            policy,
            config.suite,
            config.episodes,
            FIRST_VERDICT_SEED,
            swap=config.swap,
            jobs=workers,
            progress=progress,
        )
        report.write_json(folder / name)
        reports.append(report)
    (comparison,) = compare(folder / BEFORE_FILE, folder / AFTER_FILE)
    decided = comparison.own
    if config.figure == "precise":
        decided = SuccessComparison.of(_precise_pairs(*reports))
    return decide(decided, comparison, config)


def decide(
    decided: SuccessComparison, comparison: SuiteComparison, config: VerdictConfig
) -> Verdict:
    """Keep what is better in the figure that counts, and not worse in obedience and success.

    Args:
        decided: Of the figure, A before and B after.
        comparison: Of success, with both sentences.
        config: The figure and what is significant.
    """
    counts = (
        f"{config.figure} {decided.successes_a} of {decided.pairs} before and "
        f"{decided.successes_b} after (only before {decided.only_a}, only after {decided.only_b}), "
        f"McNemar p = {decided.p:.3g}"
    )
    worse = [
        name
        for name, each in (("success", comparison.own), ("obedience", comparison.other))
        if each is not None and each.difference < 0.0 and each.p < config.significance
    ]
    better = decided.difference > 0.0 and decided.p < config.significance
    if worse:
        reason = f"not kept: {' and '.join(worse)} became worse; {counts}"
    elif better:
        reason = f"kept: {counts}"
    else:
        reason = f"not kept: no improvement is shown; {counts}"
    return Verdict(better and not worse, reason, config.figure, decided, comparison)


def _precise_pairs(before: EvaluationReport, after: EvaluationReport) -> list[tuple[bool, bool]]:
    return [
        (one.precise, other.precise)
        for one, other in zip(before.results, after.results, strict=True)
    ]
