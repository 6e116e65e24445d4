"""Turn decoded samples into the float32 arrays that a model takes, the same way here and in every bundle's evaluator.

The evaluator carries this file unchanged, so it needs the standard library, numpy and (for `resize` only) Pillow.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from snnconvert.errors import DataError, OutputError, UsageError

IMAGENET_PREPROCESSING = "resize=256,crop=224,scale=1/255,mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
MOST_PIXELS = 89_478_485  # Pillow's own limit for an image that is opened


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a sample before the model sees it; always in the order of the fields.

    resize: the shorter side becomes so many pixels (bilinear, antialiased; the longer side is rounded down).
    crop: the centre square of so many pixels. bgr: the three channels are reversed.
    Then, all in float32: ``x = (float32(pixel) * float32(scale) - float32(mean)) / float32(std)``; mean and std are in
    units after scale and hold one value, or one a channel. Raises UsageError E003 for a value that cannot work.
    """

    resize: int | None = None
    crop: int | None = None
    bgr: bool = False
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for key, pixels in (("resize", self.resize), ("crop", self.crop)):
            if pixels is not None and not 1 <= pixels <= 65_535:
                raise _bad_value(key, pixels, "a number of pixels, 1 to 65535")
        if self.crop is not None and self.resize is not None and self.crop > self.resize:
            raise _bad_value("crop", self.crop, f"at most resize ({self.resize})")
        if not _fits_float32(self.scale) or abs(self.scale) < 1e-37:
            raise _bad_value("scale", self.scale, "a finite number other than 0")
        if not all(_fits_float32(value) for value in self.mean):
            raise _bad_value("mean", self.mean, "finite numbers")
        if not all(_fits_float32(value) and value >= 1e-37 for value in self.std):
            raise _bad_value("std", self.std, "finite numbers above 0")
        if len(self.mean) > 1 and len(self.std) > 1 and len(self.mean) != len(self.std):
            raise _bad_value("std", f"{len(self.std)} values", f"{len(self.mean)}, as many as mean has")

    @classmethod
    def parse(cls, spec: str | Mapping[str, object] | None) -> "Preprocessing":
        """Read ``--preprocess``: ``resize=256,crop=224,scale=1/255``, ``imagenet``, ``none``, or the YAML mapping.

        Raises UsageError E003 for an unknown or repeated key and for a value that cannot be read.
        """
        if spec is None or (isinstance(spec, str) and spec.strip() in ("", "none")):
            return cls()
        if isinstance(spec, str):
            spec = _split_spec(IMAGENET_PREPROCESSING if spec.strip() == "imagenet" else spec)
        known = [field.name for field in fields(cls)]
        for key in spec:
            if key not in known:
                close = difflib.get_close_matches(str(key), [*known, "imagenet", "none"], n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"the keys are {', '.join(known)}"
                if str(key)[:1] in tuple("-.0123456789"):  # the second value of a list with commas
                    hint = "values of channels are separated by '/': mean=0.485/0.456/0.406"
                raise UsageError("E003", f"preprocessing: unknown key {str(key)!r}", hint)
        given = {key: value for key, value in spec.items() if value is not None}
        return cls(
            resize=_whole("resize", given["resize"]) if "resize" in given else None,
            crop=_whole("crop", given["crop"]) if "crop" in given else None,
            bgr=_flag("bgr", given.get("bgr", False)),
            scale=_number("scale", given.get("scale", 1.0), fraction=True),
            mean=_numbers("mean", given.get("mean", ())),
            std=_numbers("std", given.get("std", ())),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the keys that are set, as plain JSON and YAML values; ``parse`` reads them back to an equal object."""
        values: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                values[field.name] = list(value) if isinstance(value, tuple) else value
        return values

    def describe(self) -> str:
        """Say in one line what is done, in order."""
        steps = []
        if self.resize is not None:
            steps.append(f"shorter side to {self.resize} pixels")
        if self.crop is not None:
            steps.append(f"centre crop {self.crop}x{self.crop}")
        if self.bgr:
            steps.append("RGB to BGR")
        if self.scale != 1.0:
            inverse = round(1.0 / self.scale)
            steps.append(f"times 1/{inverse}" if inverse and 1.0 / inverse == self.scale else f"times {self.scale:g}")
        for words, values in (("minus mean", self.mean), ("by std", self.std)):
            if values:
                steps.append(f"{words} " + "/".join(f"{value:g}" for value in values))
        return ", ".join(steps) if steps else "none (values as stored)"

    def __call__(self, sample: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return one decoded sample as a float32 array of the model's per-sample input ``shape``, as `many` does."""
        return np.asarray(self.many(sample[np.newaxis], shape)[0])

    def many(self, samples: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return samples ``(n, ...)`` of one shape as float32 ``(n, *shape)``, bit for bit as one by one.

        A grey sample becomes three equal channels for a model of three. Raises DataError E203 for values that are no
        numbers, E204 where shapes do not fit, UsageError E003 where mean or std do not fit the channels.
        """
        if samples.dtype.kind not in "buif":
            raise DataError("E203", f"got values of type {samples.dtype}, expected integers or real numbers")
        spatial = self.resize is not None or self.crop is not None
        kind, planes = _planes(samples, shape, spatial)
        if spatial:
            if planes.ndim != 4:
                raise DataError("E204", f"resize and crop need images, got samples of shape {samples.shape[1:]}")
            planes = self._resized_and_cropped(planes)
        channels_last = is_channels_last(shape)
        if len(shape) == 3 and planes.shape[1] == 1 and shape[-1 if channels_last else 0] == 3:
            planes = np.broadcast_to(planes, (len(planes), 3, *planes.shape[2:]))
        if self.bgr:
            if planes.ndim != 4 or planes.shape[1] != 3:
                raise DataError("E204", f"bgr needs 3 channels, got samples of shape {samples.shape[1:]}")
            planes = planes[:, ::-1]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by name later
            x = planes.astype(np.float32, order="C")
            if self.scale != 1.0:
                x *= np.float32(self.scale)
            if self.mean:
                x -= _per_channel("mean", self.mean, x)
            if self.std:
                x /= _per_channel("std", self.std, x)
        if channels_last:
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        got = x.shape[1:]
        if got == shape or (kind == "flat" and math.prod(got) == math.prod(shape)) or got == (1, *shape):
            return x.reshape(len(x), *shape)
        hint = 'bring the images to that size: --preprocess "resize=...,crop=..."' if x.ndim == 4 else None
        if spatial:
            hint = f"resize and crop made that of samples {samples.shape[1:]}: other sizes, or none, may fit"
        raise DataError("E204", f"samples do not fit the model's input: got {got}, expected {shape}", hint)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width after `resize`. Raises DataError E204 for more pixels than an image may have."""
        if self.resize is None:
            return height, width
        shorter = min(height, width)
        height, width = self.resize * height // shorter, self.resize * width // shorter
        if height * width > MOST_PIXELS:
            raise DataError("E204", f"resize={self.resize} asks for an image of {width}x{height} pixels")
        return height, width

    def _resized_and_cropped(self, planes: np.ndarray) -> np.ndarray:
        """Apply `resize` and `crop` to ``(n, C, H, W)``; uint8 stays uint8, all else becomes float32."""
        height, width = self.resized(*planes.shape[2:])
        if (height, width) != planes.shape[2:]:
            planes = np.stack([_resized(image, height, width) for image in planes])
        if self.crop is not None:
            if self.crop > min(height, width):
                hint = f"enlarge it first: --preprocess resize={self.crop},crop={self.crop}"
                raise DataError("E204", f"{width}x{height} pixels are fewer than crop={self.crop} needs", hint)
            top, left = round((height - self.crop) / 2), round((width - self.crop) / 2)
            planes = planes[:, :, top : top + self.crop, left : left + self.crop]
        return planes


def layout(sample_shape: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    """Say how a decoded sample is read for the model's per-sample input.

    "NHWC", "NCHW": an image, channels last or first; "NHW": grey, without a channel axis; "flat": the values in
    order, an image channel by channel; "as is": as stored. A model whose input is (H, W, C) with C 1 or 3 is
    understood. Spatial sizes may still differ: resize and crop mend them. Where two readings fit, the one of the
    exact size wins, then channels last. Raises DataError E204 where no preprocessing can mend the difference.
    """
    got, expected = tuple(sample_shape), tuple(input_shape)
    same_size = math.prod(got) == math.prod(expected)
    hint = None
    if len(expected) == 3:
        height, width, channels = expected if is_channels_last(expected) else (*expected[1:], expected[0])
        fits = {channels} | ({1} if channels == 3 else set())
        if len(got) == 3 and got == (channels, height, width):
            return "NCHW"
        if len(got) == 3 and (got == (height, width, channels) or got[2] in fits):
            return "NHWC"
        if len(got) == 3 and got[0] in fits:
            return "NCHW"
        if len(got) == 2 and 1 in fits:
            return "NHW"
        if len(got) == 1 and same_size:
            return "flat"
        if channels == 1 and 3 in got:
            hint = f"the model takes 1 channel of {height}x{width}: store the images in grey"
        elif len(got) in (2, 3):
            hint = f"the model takes {channels} channels of {height}x{width}"
    elif got == expected:
        return "as is"
    elif same_size and (len(got) <= 1 or len(expected) <= 1 or (len(expected) == 2 and 1 in expected)):
        return "flat"
    elif len(expected) == 1 and len(got) in (2, 3):
        channels = 1 if len(got) == 2 else got[2] if _image_kind(got) == "NHWC" else got[0]
        if channels and expected[0] % channels == 0:
            return "flat"
    elif len(expected) == len(got) == 2:
        if not same_size:
            return "as is"
        hint = "the axes are swapped: store the array transposed" if got == expected[::-1] else None
    raise DataError("E204", f"samples do not fit the model's input: got {got}, expected {expected}", hint)


def is_channels_last(shape: tuple[int, ...]) -> bool:
    """Tell whether a shape is read as (H, W, C): the last axis is 1 or 3, and the first is not."""
    return len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3)


def _image_kind(shape: tuple[int, ...]) -> str:
    return "NHW" if len(shape) == 2 else "NHWC" if is_channels_last(shape) else "NCHW"


def _planes(samples: np.ndarray, shape: tuple[int, ...], spatial: bool) -> tuple[str, np.ndarray]:
    """Return the layout and the samples with their channels on axis 1: ``(n, C, H, W)`` for images."""
    kind = read_as = layout(samples.shape[1:], shape)
    if kind == "flat" and len(shape) == 3:
        samples, read_as = samples.reshape(len(samples), *shape), _image_kind(shape)
    elif kind == "flat" and samples.ndim in (3, 4):
        read_as = _image_kind(samples.shape[1:])
    elif kind == "as is" and samples.ndim == 3 and spatial:
        read_as = "NHW"
    if read_as == "NHWC":
        return kind, samples.transpose(0, 3, 1, 2)
    if read_as == "NHW" or samples.ndim == 1:
        return kind, samples[:, np.newaxis]
    return kind, samples


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    try:
        from PIL import Image  # only images that change their size need it
    except ImportError as error:
        raise OutputError("E404", "resize needs Pillow", "pip install pillow") from error
    exact = image if image.dtype == np.uint8 else image.astype(np.float32)
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in exact]
    return np.stack([np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes])


def _per_channel(key: str, values: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    if len(values) not in (1, x.shape[1]):
        raise _bad_value(key, f"{len(values)} values", f"1 or {x.shape[1]}, as the samples have channels")
    return np.asarray(values, np.float32).reshape(-1, *[1] * (x.ndim - 2))


def _bad_value(key: str, got: object, expected: str) -> UsageError:
    return UsageError("E003", f"preprocessing: {key}: got {str(got)[:80]!r}, expected {expected}")


def _fits_float32(value: float) -> bool:
    return math.isfinite(value) and abs(value) < 3.4e38


def _split_spec(text: str) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key in pairs:
            raise UsageError("E003", f"preprocessing: {key!r} is given twice")
        pairs[key] = value if equals or key != "bgr" else "true"
    return pairs


def _whole(key: str, value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _bad_value(key, value, "a whole number of pixels")


def _flag(key: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "1", "0"):
        return value.lower() in ("true", "yes", "1")
    raise _bad_value(key, value, "true or false")


def _number(key: str, value: object, *, fraction: bool = False) -> float:
    try:
        if isinstance(value, str) and fraction and "/" in value:
            above, below = value.split("/")
            return float(above) / float(below)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError, ZeroDivisionError):
        pass
    raise _bad_value(key, value, "a number or a fraction such as 1/255" if fraction else "a number")


def _numbers(key: str, value: object) -> tuple[float, ...]:
    values = value.split("/") if isinstance(value, str) else value
    return tuple(_number(key, entry) for entry in (values if isinstance(values, list | tuple) else [values]))
