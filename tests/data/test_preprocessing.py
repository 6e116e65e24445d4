import json
import sys

import numpy as np
import pytest
from PIL import Image

from snnconvert.data import IMAGENET_PREPROCESSING, Preprocessing, layout
from snnconvert.errors import DataError, OutputError, UsageError


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rezise=3", "unknown key 'rezise'"),
        ("imagnet", "unknown key 'imagnet'"),
        ({"sale": 1}, "unknown key 'sale'"),
        ("scale=1/255,scale=2", "given twice"),
        ("resize", "resize: got ''"),
        ("resize=2.5", "resize: got '2.5'"),
        ("resize=0", "resize: got '0'"),
        ("crop=-1", "crop: got '-1'"),
        ("crop=99999999999999999999", "crop"),
        ({"resize": True}, "resize: got 'True'"),
        ("resize=10,crop=11", r"at most resize \(10\)"),
        ("bgr=maybe", "bgr: got 'maybe'"),
        ("scale=1/0", "scale: got '1/0'"),
        ("scale=1/2/3", "scale: got '1/2/3'"),
        ("scale=0", "other than 0"),
        ("scale=nan", "scale: got 'nan'"),
        ("scale=1e39", "scale"),
        ({"scale": [1]}, "scale"),
        ("mean=a", "mean: got 'a'"),
        ("mean=", "mean: got ''"),
        ("mean=inf", "finite"),
        ("std=0", "above 0"),
        ("std=1/-1", "above 0"),
        ("std=1e-40", "above 0"),
        ("mean=1/2/3,std=1/2", "std: got '2 values'"),
    ],
)
def test_wrong_spec_is_refused(spec: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Preprocessing.parse(spec)
    assert caught.value.code == "E003"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "close"), [("rezise=3", "resize"), ("men=3", "mean"), ("imagnet", "imagenet"), ({"sale": 1}, "scale")]
)
def test_unknown_key_says_what_was_meant(spec: object, close: str) -> None:
    with pytest.raises(UsageError, match="unknown key") as caught:
        Preprocessing.parse(spec)
    assert caught.value.hint == f"did you mean '{close}'?"


def test_unknown_key_unlike_any_lists_all() -> None:
    with pytest.raises(UsageError, match="unknown key") as caught:
        Preprocessing.parse("qqqqqq=1")
    assert "resize, crop, bgr, scale, mean, std" in caught.value.hint


@pytest.mark.parametrize(
    ("sample", "model"),
    [
        ((32, 32, 3), (1, 28, 28)),
        ((3, 32, 32), (1, 32, 32)),
        ((28, 28), (2, 28, 28)),
        ((28, 28, 4), (3, 28, 28)),
        ((784,), (1, 28, 29)),
        ((784,), (785,)),
        ((32, 32, 3), (784,)),
        ((50, 9), (9, 50)),
        ((4, 6), (3, 8)),
        ((2, 3, 4, 5), (3, 4, 5)),
        ((3, 8, 8), (5, 3, 8, 8)),
        ((), (3,)),
    ],
)
def test_sample_that_nothing_mends_is_refused(sample: tuple[int, ...], model: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"do not fit the model's input: got .* expected") as caught:
        layout(sample, model)
    assert caught.value.code == "E204"


def test_refusals_of_shape_say_what_to_do() -> None:
    with pytest.raises(DataError, match="got") as colour:
        layout((32, 32, 3), (1, 28, 28))
    assert "grey" in colour.value.hint
    with pytest.raises(DataError, match="got") as swapped:
        layout((50, 9), (9, 50))
    assert "transposed" in swapped.value.hint
    with pytest.raises(DataError, match=r"got \(3, 6, 6\), expected \(3, 4, 4\)") as size:
        Preprocessing()(np.zeros((6, 6, 3), np.uint8), (3, 4, 4))
    assert "resize" in size.value.hint


@pytest.mark.parametrize(
    ("spec", "sample", "model", "error", "message"),
    [
        ("crop=9", np.zeros((8, 10, 3), np.uint8), (3, 9, 9), DataError, "10x8 pixels are fewer than crop=9"),
        ("crop=2", np.zeros(4, np.uint8), (4,), DataError, "resize and crop need images"),
        ("bgr", np.zeros((4, 4), np.uint8), (1, 4, 4), DataError, "bgr needs 3 channels"),
        ("mean=1/2/3", np.zeros((4, 4), np.uint8), (1, 4, 4), UsageError, "mean: got '3 values', expected 1 or 1"),
        ("std=1/2", np.zeros(4, np.uint8), (4,), UsageError, "std: got '2 values', expected 1 or 4"),
        ("resize=60000", np.zeros((1, 65535), np.uint8), (1, 4, 4), DataError, "asks for an image of"),
        ("none", np.array(["a"]), (1,), DataError, "expected integers or real"),
        ("none", np.zeros((3, 1), complex), (3, 1), DataError, "expected integers or real"),
        ("crop=2", np.zeros((5, 5), np.uint8), (3,), DataError, "do not fit"),
    ],
)
def test_sample_that_cannot_be_prepared_is_refused(
    spec: str, sample: np.ndarray, model: tuple[int, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Preprocessing.parse(spec)(sample, model)


def test_resize_without_pillow_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(OutputError, match=r"E404.*resize needs Pillow") as caught:
        Preprocessing(resize=2)(np.zeros((4, 4), np.uint8), (1, 2, 2))
    assert caught.value.hint == "pip install pillow"


@pytest.mark.parametrize("spec", [None, "", "none", " none ", {}, {"resize": None}])
def test_none_leaves_values_as_they_are(spec: object) -> None:
    preprocessing = Preprocessing.parse(spec)
    assert preprocessing == Preprocessing()
    assert preprocessing.to_dict() == {}
    assert "none" in preprocessing.describe()
    sample = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    x = preprocessing(sample, (3, 2, 2))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, sample.transpose(2, 0, 1))


def test_imagenet_is_the_documented_line() -> None:
    assert Preprocessing.parse("imagenet") == Preprocessing.parse(IMAGENET_PREPROCESSING)
    assert Preprocessing.parse("imagenet") == Preprocessing(
        256, 224, False, 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )


def test_yaml_mapping_means_the_same_as_the_line() -> None:
    mapping = {"std": [0.5], "mean": "0.1/0.2/0.3", "scale": "1/255", "bgr": True, "crop": 5, "resize": 6}
    line = "scale=1/255, bgr, resize=6, crop=5, mean=0.1/0.2/0.3, std=0.5"
    assert Preprocessing.parse(mapping) == Preprocessing.parse(line)
    assert Preprocessing.parse({"mean": 3}).mean == (3.0,)


@pytest.mark.parametrize("spec", ["none", "imagenet", "bgr=yes,scale=2,mean=1", "resize=9", "bgr=no", "std=3/2/1"])
def test_dict_survives_json(spec: str) -> None:
    preprocessing = Preprocessing.parse(spec)
    assert Preprocessing.parse(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


def test_description_tells_the_steps_in_order() -> None:
    line = Preprocessing.parse("resize=9,crop=8,bgr,scale=1/255,mean=0.5,std=0.25").describe()
    steps = ["shorter side to 9", "centre crop 8x8", "BGR", "times 1/255", "minus mean 0.5", "by std 0.25"]
    assert [line.index(step) for step in steps] == sorted(line.index(step) for step in steps)
    assert Preprocessing.parse("scale=0.3").describe() == "times 0.3"


@pytest.mark.parametrize(("height", "width"), [(37, 50), (50, 37), (20, 20), (12, 90)])
def test_steps_equal_a_plain_computation_in_that_order(height: int, width: int, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    preprocessing = Preprocessing.parse("resize=20,crop=16,bgr,scale=1/255,mean=0.4/0.5/0.6,std=0.2/0.3/0.4")
    size = (20 * width // height, 20) if height <= width else (20, 20 * height // width)
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    top, left = round((small.shape[0] - 16) / 2), round((small.shape[1] - 16) / 2)
    cut = small[top : top + 16, left : left + 16, ::-1].astype(np.float32)
    mean, std = np.float32([0.4, 0.5, 0.6]), np.float32([0.2, 0.3, 0.4])
    expected = ((cut * np.float32(1 / 255) - mean) / std).transpose(2, 0, 1)
    np.testing.assert_array_equal(preprocessing(pixels, (3, 16, 16)), expected)


def test_real_valued_images_are_resized_as_real_numbers(rng: np.random.Generator) -> None:
    pixels = rng.random((1, 8, 8))
    expected = np.asarray(Image.fromarray(pixels[0].astype(np.float32)).resize((4, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(Preprocessing(resize=4)(pixels, (1, 4, 4))[0], expected)


@pytest.mark.parametrize(
    ("sample", "model", "expected"),
    [
        ((32, 32, 3), (3, 32, 32), "NHWC"),
        ((3, 32, 32), (3, 32, 32), "NCHW"),
        ((500, 375, 3), (3, 224, 224), "NHWC"),
        ((3, 500, 375), (3, 224, 224), "NCHW"),
        ((28, 28), (1, 28, 28), "NHW"),
        ((28, 28), (3, 28, 28), "NHW"),
        ((28, 28, 1), (1, 28, 28), "NHWC"),
        ((28, 28, 1), (3, 28, 28), "NHWC"),
        ((1, 28, 28), (3, 28, 28), "NCHW"),
        ((1, 28, 28), (1, 28, 28), "NCHW"),
        ((3, 3, 3), (3, 3, 3), "NCHW"),
        ((32, 32, 3), (32, 32, 3), "NHWC"),
        ((3, 32, 32), (32, 32, 3), "NCHW"),
        ((28, 28), (28, 28, 1), "NHW"),
        ((8, 4, 4), (8, 4, 4), "NCHW"),
        ((784,), (1, 28, 28), "flat"),
        ((28, 28), (784,), "flat"),
        ((32, 32, 3), (3072,), "flat"),
        ((28, 28), (1, 784), "flat"),
        ((784,), (784,), "as is"),
        ((9, 50), (9, 50), "as is"),
        ((2, 3, 4, 5), (2, 3, 4, 5), "as is"),
    ],
)
def test_layout_is_told_from_the_model(sample: tuple[int, ...], model: tuple[int, ...], expected: str) -> None:
    assert layout(sample, model) == expected


def test_every_layout_puts_each_pixel_in_its_place(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (3, 4, 5), np.uint8)
    last = image.transpose(1, 2, 0)
    plain = Preprocessing()
    np.testing.assert_array_equal(plain(last, (3, 4, 5)), image)
    np.testing.assert_array_equal(plain(image, (4, 5, 3)), last)
    np.testing.assert_array_equal(plain(last, (4, 5, 3)), last)
    np.testing.assert_array_equal(plain(last, (60,)), image.reshape(60))
    np.testing.assert_array_equal(plain(image, (60,)), image.reshape(60))
    np.testing.assert_array_equal(plain(image.reshape(60), (3, 4, 5)), image)
    np.testing.assert_array_equal(plain(image[0], (3, 4, 5)), np.stack([image[0]] * 3))
    np.testing.assert_array_equal(plain(image[0], (4, 5)), image[0])
    np.testing.assert_array_equal(plain(image[0], (20,)), image[0].reshape(20))
    np.testing.assert_array_equal(plain(np.float64(3), (1,)), [3])
    np.testing.assert_array_equal(Preprocessing(crop=2)(image[0], (2, 2)), image[0, 1:3, 2:4])


def test_mean_and_std_follow_the_channels_before_flattening() -> None:
    image = np.ones((2, 2, 3), np.uint8)
    x = Preprocessing(mean=(0.0, 1.0, 2.0), std=(2.0,))(image, (12,))
    np.testing.assert_array_equal(x.reshape(3, 4), [[0.5] * 4, [0.0] * 4, [-0.5] * 4])


@pytest.mark.parametrize("spec", ["none", "scale=1/255,mean=0.4/0.5/0.6,std=0.2/0.3/0.4", "resize=6,crop=5,bgr,std=7"])
@pytest.mark.parametrize("dtype", ["|u1", "<i8", "<f4", ">f4", "<f8", "<f2", "|b1"])
def test_many_equal_one_by_one_bit_for_bit(spec: str, dtype: str, rng: np.random.Generator) -> None:
    samples = rng.integers(0, 256, (9, 8, 8, 3)).astype(dtype)
    before = samples.copy()
    side = 5 if "crop" in spec else 8
    preprocessing = Preprocessing.parse(spec)
    together = preprocessing.many(samples, (3, side, side))
    alone = np.stack([preprocessing(sample, (3, side, side)) for sample in samples])
    assert together.dtype == np.float32
    assert together.tobytes() == alone.tobytes()
    np.testing.assert_array_equal(samples, before)
