"""A log-spaced histogram of positive numbers, in the way of DDSketch (Masson et al. 2019): percentiles of any stream.

The bins are the leading bits of the float32 itself: 8 bits of exponent and 7 of mantissa, so that finding a bin is a
shift. A bin spans less than 1/128 of its value and a percentile is its middle: the relative error is at most 1/256
(0.4 %). Counts are integers, so that neither the order of samples nor their split into batches matters. The
maximum is exact. Numbers under 2^-24 share the lowest bin, numbers of 2^24 and more the highest.
"""

from fractions import Fraction

import numba
import numpy as np
from numpy.typing import NDArray

from snnconvert.compiled import compiled

RELATIVE_ERROR = 1 / 256
Bits = NDArray[np.int32]
Counts = NDArray[np.int64]
LOWEST = (127 - 24) << 7  # the bin of 2^-24, as leading bits
BINS = 48 << 7
MINUS_INFINITY = -(1 << 23)  # as int32; between it and zero lie the NaN whose sign is set, as infinity - infinity is
NAN = 0x7FC00000
MIDDLES = (((np.arange(BINS) + LOWEST) << 16) | 0x8000).astype(np.int32).view(np.float32).astype(np.float64)


@compiled
def _add_channels(bits: Bits, counts: Counts, zeros: Counts, largest: Bits, parts: int) -> None:
    """Count ``bits (rows, channels)`` into the histogram of each channel; threads share out the channels."""
    rows, channels = bits.shape
    for part in numba.prange(parts):
        first, last = channels * part // parts, channels * (part + 1) // parts
        for row in range(rows):
            for channel in range(first, last):
                value = bits[row, channel]
                if value > 0:
                    index = min(max((value >> 16) - LOWEST, 0), BINS - 1)
                    counts[channel, index] += 1
                    if value > largest[channel]:
                        largest[channel] = value
                elif MINUS_INFINITY < value < 0:
                    largest[channel] = NAN
                else:
                    zeros[channel] += 1


@compiled
def _add_flat(bits: Bits, counts: Counts, zeros: Counts, largest: Bits, parts: int) -> None:
    """Count ``bits (n,)`` into one histogram a thread: ``counts (parts, BINS)``, ``zeros``, ``largest (parts,)``."""
    size = bits.shape[0]
    for part in numba.prange(parts):
        most, nothing = np.int32(0), 0
        for position in range(size * part // parts, size * (part + 1) // parts):
            value = bits[position]
            if value > 0:
                index = min(max((value >> 16) - LOWEST, 0), BINS - 1)
                counts[part, index] += 1
                most = max(most, value)
            elif MINUS_INFINITY < value < 0:
                most = np.int32(NAN)
            else:
                nothing += 1
        zeros[part] += nothing
        largest[part] = max(largest[part], most)


class LogHistogram:
    """Histograms of ``channels`` streams of numbers (1 for a whole layer)."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        rows = numba.get_num_threads() if channels == 1 else channels
        self._counts = np.zeros((rows, BINS), np.int64)
        self._zeros = np.zeros(rows, np.int64)
        self._largest = np.zeros(rows, np.int32)

    @classmethod
    def of(cls, counts: Counts, zeros: Counts, largest: Bits) -> "LogHistogram":
        """Return the histogram with these ``counts (channels, BINS)``, zeros and largest numbers, as bits."""
        made = cls(len(counts))
        made._counts, made._zeros, made._largest = counts, zeros, largest
        return made

    def add(self, values: NDArray[np.float32]) -> None:
        """Count ``values (rows, channels)``, float32 in C order; what is not positive counts as zero."""
        bits = values.view(np.int32)
        parts = min(numba.get_num_threads(), len(self._counts))
        if self.channels == 1:
            _add_flat(bits.reshape(-1), self._counts, self._zeros, self._largest, parts)
        else:
            _add_channels(bits.reshape(-1, self.channels), self._counts, self._zeros, self._largest, parts)

    def pooled(self) -> "LogHistogram":
        """Return one histogram over all channels."""
        whole = LogHistogram(1)
        whole._counts[0] = self._counts.sum(0)
        whole._zeros[0] = self._zeros.sum()
        whole._largest[0] = self._largest.max()
        return whole

    @property
    def counts(self) -> NDArray[np.int64]:
        """Positive numbers by bin, ``(channels, BINS)``."""
        return self._counts.sum(0, keepdims=True) if self.channels == 1 else self._counts

    @property
    def zeros(self) -> NDArray[np.int64]:
        """How many numbers were not positive, ``(channels,)``."""
        return self._zeros.sum(keepdims=True) if self.channels == 1 else self._zeros

    @property
    def maximum(self) -> NDArray[np.float32]:
        """The exact largest number, ``(channels,)``: 0 where none was positive; NaN or infinity where one was."""
        largest = self._largest.max(keepdims=True) if self.channels == 1 else self._largest
        return largest.view(np.float32)

    @property
    def middles(self) -> NDArray[np.float64]:
        """What stands for the numbers of each bin, ``(channels, BINS)``: its middle, of the highest the largest number.

        None is more than the largest number.
        """
        largest = self.maximum.astype(np.float64)[:, None]
        return np.concatenate([np.minimum(MIDDLES[:-1], largest), largest], 1)

    def percentile(self, percent: float, nonzero: bool = True) -> NDArray[np.float64]:
        """Return, per channel, the smallest number that at least ``percent`` % of the numbers do not exceed.

        ``nonzero`` leaves zeros out of the count, as Rueckauer et al. 2017 do. 100 gives the exact maximum.
        """
        counts, maximum = self.counts, self.maximum.astype(np.float64)
        if percent >= 100:
            return maximum
        below = np.zeros(self.channels, np.int64) if nonzero else self.zeros
        positive = counts.sum(1)
        share = Fraction(str(percent)) / 100  # exact: 99.9 % of 1,000 is 999, and not one more by rounding
        counted = [-(-int(total) * share.numerator // share.denominator) for total in positive + below]
        rank = np.array(counted, np.int64) - below
        index = (np.cumsum(counts, 1) < np.maximum(rank, 1)[:, None]).sum(1)
        found = np.where(index >= BINS - 1, maximum, np.minimum(MIDDLES[index.clip(0, BINS - 1)], maximum))
        return np.where((rank > 0) & (positive > 0), found, 0.0)
