"""Statistics of a data set, and the scaling of model inputs and outputs that follows from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vla_core.contract_specs import NORMALIZATIONS, Normalization
from vla_core.errors import StatisticsError

FORMAT_VERSION = 1

# A component that never changes is shifted but not scaled: dividing by its spread would blow up
# the first deviation a robot shows.
_CONSTANT = 1e-6
_ARRAYS = ("mean", "std", "min", "max")


@dataclass(frozen=True, eq=False)
class FieldStatistics:
    """Statistics of one key, per component of the last axis.

    Attributes:
        mean: (C,) float64.
        std: (C,) float64, of the population.
        min: (C,) float64.
        max: (C,) float64.
        count: values per component that they were computed from.
        normalization: "mean_std" (zero mean, unit deviation), "min_max" (to [-1, 1]) or "none".
    """

    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray
    count: int
    normalization: Normalization = "mean_std"

    @classmethod
    def from_array(cls, array: np.ndarray) -> FieldStatistics:
        """Statistics of an array, over all axes but the last.

        Args:
            array: (..., C) of any real dtype, finite and not empty.

        Raises:
            StatisticsError: if the array is empty or holds NaN or infinity.
        """
        rows = np.asarray(array)
        rows = rows.reshape(-1, rows.shape[-1]) if rows.ndim else rows.reshape(1, 1)
        if rows.size == 0:
            raise StatisticsError(f"an array of shape {np.shape(array)}, expected at least one row")
        low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise StatisticsError("an array with NaN or infinity, expected finite values")
        mean = rows.mean(axis=0, dtype=np.float64)
        std = rows.std(axis=0, dtype=np.float64)
        # Rounding may put the mean of equal values an ulp outside of them.
        return cls(np.clip(mean, low, high), std, low, high, len(rows))

    def merged(self, other: FieldStatistics) -> FieldStatistics:
        """Statistics of both sets of values together (Chan et al. 1983, pairwise variance).

        Raises:
            StatisticsError: if the numbers of components differ.
        """
        if self.mean.shape != other.mean.shape:
            raise StatisticsError(
                f"{self.mean.size} components in one part of the data, {other.mean.size} in another"
            )
        count = self.count + other.count
        delta = other.mean - self.mean
        low, high = np.minimum(self.min, other.min), np.maximum(self.max, other.max)
        mean = np.clip(self.mean + delta * (other.count / count), low, high)
        variance = (
            self.std**2 * self.count
            + other.std**2 * other.count
            + delta**2 * (self.count * (other.count / count))
        ) / count
        return replace(self, mean=mean, std=np.sqrt(variance), min=low, max=high, count=count)

    def center_and_spread(self) -> tuple[np.ndarray, np.ndarray]:
        """The numbers c and s of `normalized = (x - c) / s`: (C,) float32 each, s above 0."""
        center, spread = np.zeros_like(self.mean), np.ones_like(self.mean)
        if self.normalization == "mean_std":
            center, spread = self.mean, self.std
        elif self.normalization == "min_max":
            center, spread = (self.max + self.min) / 2.0, (self.max - self.min) / 2.0
        spread = np.where(spread < _CONSTANT, 1.0, spread)
        return center.astype(np.float32), spread.astype(np.float32)


@dataclass(frozen=True)
class Statistics:
    """Statistics of every key of a data set.

    Attributes:
        fields: by key.
    """

    fields: dict[str, FieldStatistics]

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, np.ndarray | Iterable[np.ndarray]],
        normalization: Mapping[str, Normalization] | None = None,
    ) -> Statistics:
        """Compute statistics.

        Args:
            arrays: by key an array (..., C), or an iterable of such arrays where the whole does
                not fit into memory.
            normalization: by key; "mean_std" where it says nothing.

        Raises:
            StatisticsError: naming the key, if its data are empty or not finite.
        """
        fields = {}
        for key, chunks in arrays.items():
            total: FieldStatistics | None = None
            try:
                for chunk in [chunks] if isinstance(chunks, np.ndarray) else chunks:
                    part = FieldStatistics.from_array(chunk)
                    total = part if total is None else total.merged(part)
            except StatisticsError as error:
                raise StatisticsError(f"statistics of {key!r}: {error}") from error
            if total is None:
                raise StatisticsError(f"statistics of {key!r}: no data, expected at least one row")
            fields[key] = replace(total, normalization=(normalization or {}).get(key, "mean_std"))
        return cls(fields)

    def field(self, key: str) -> FieldStatistics:
        """Statistics of one key.

        Raises:
            StatisticsError: if there are none.
        """
        if key not in self.fields:
            raise StatisticsError(
                f"statistics of {key!r}: missing, there are only {', '.join(sorted(self.fields))}"
            )
        return self.fields[key]

    def normalize(self, key: str, values: np.ndarray) -> np.ndarray:
        """Scale values for the model.

        Args:
            key: what they are.
            values: (..., C) in SI units (images: 0 to 255).

        Returns:
            (..., C) float32.

        Raises:
            StatisticsError: if there are no statistics of this key, or C is another.
        """
        center, spread = self._scaling(key, values)
        return (np.asarray(values, np.float32) - center) / spread

    def denormalize(self, key: str, values: np.ndarray) -> np.ndarray:
        """The inverse of `normalize`: (..., C) float32 in SI units.

        Raises:
            StatisticsError: if there are no statistics of this key, or C is another.
        """
        center, spread = self._scaling(key, values)
        return np.asarray(values, np.float32) * spread + center

    def _scaling(self, key: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        center, spread = self.field(key).center_and_spread()
        if np.ndim(values) == 0 or np.shape(values)[-1] != center.size:
            raise StatisticsError(
                f"statistics of {key!r}: values of shape {np.shape(values)}, "
                f"expected (..., {center.size})"
            )
        return center, spread

    def to_json(self) -> str:
        """The statistics as JSON text."""
        fields = {
            key: {
                "normalization": field.normalization,
                "count": field.count,
                **{name: getattr(field, name).tolist() for name in _ARRAYS},
            }
            for key, field in self.fields.items()
        }
        return json.dumps({"format_version": FORMAT_VERSION, "fields": fields}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Statistics:
        """Read what `to_json` wrote.

        Raises:
            StatisticsError: if the text is anything else.
        """
        try:
            values = json.loads(text)
            if values["format_version"] != FORMAT_VERSION:
                raise ValueError(
                    f"format version {values['format_version']}, expected {FORMAT_VERSION}"
                )
            return cls({str(key): _field(entry) for key, entry in values["fields"].items()})
        except KeyError as error:
            raise StatisticsError(f"statistics: {error} is missing") from error
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise StatisticsError(f"statistics: cannot be read ({error})") from error


def _field(entry: Any) -> FieldStatistics:
    arrays = {name: np.array(entry[name], np.float64) for name in _ARRAYS}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or arrays["mean"].ndim != 1 or arrays["mean"].size == 0:
        raise ValueError(f"mean, std, min and max have shapes {sorted(shapes)}, expected one (C,)")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("values that are not finite")
    if (arrays["std"] < 0).any() or (arrays["min"] > arrays["max"]).any():
        raise ValueError("a deviation below 0 or a minimum above the maximum")
    count, method = entry["count"], entry["normalization"]
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count is {count!r}, expected a whole number above 0")
    if method not in NORMALIZATIONS:
        raise ValueError(
            f"normalization is {method!r}, expected one of {', '.join(NORMALIZATIONS)}"
        )
    return FieldStatistics(count=count, normalization=method, **arrays)
