"""Converts and simulates one network with snn_toolbox, in the environment that benchmarks/toolbox.txt describes.

Run by benchmarks/toolbox.py, with a folder that holds layers.json and arrays.npz (the network), x_norm.npz, x_test.npz
and y_test.npz; leaves answers.json and logits.npy there. Imports nothing of snnconvert.
"""

import json
import os
import sys
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # Keras 3 cannot compile its models
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MPLBACKEND"] = "agg"

import numpy as np
import tensorflow as tf
from tensorflow import keras

np.bool = np.bool_  # NumPy has not had it under this name since 1.24; snn_toolbox has
SEED = 0
PACKAGES = ("snntoolbox", "tensorflow-cpu", "tf-keras", "numpy")


def keras_model(folder: Path) -> keras.Model:
    """Return the network that layers.json describes; it ends in a softmax, as a network trained in Keras does."""
    layers = json.loads((folder / "layers.json").read_text())
    with np.load(folder / "arrays.npz") as arrays:
        parameters = dict(arrays)
    made = {}
    for each in layers:
        inputs = [made[name] for name in each["inputs"]]
        if each["kind"] == "Input":
            made[each["name"]] = keras.layers.Input(each["settings"]["shape"])
            continue
        layer = getattr(keras.layers, each["kind"])(name=each["name"], **each["settings"])
        made[each["name"]] = layer(inputs if len(inputs) > 1 else inputs[0])
        if each["parameters"]:
            layer.set_weights([parameters[name] for name in each["parameters"]])
    model = keras.Model(made[layers[0]["name"]], made[layers[-1]["name"]])
    model.compile("sgd", "categorical_crossentropy", ["accuracy"])
    return model


def write_config(folder: Path, steps: int, samples: int, batch: int) -> Path:
    """Write the settings: everything that is not named has snn_toolbox's default."""
    config = ConfigParser()
    config.optionxform = str
    config.read_dict(
        {
            "paths": {"path_wd": folder, "dataset_path": folder, "filename_ann": "network"},
            "tools": {"evaluate_ann": True, "normalize": True},
            "simulation": {
                "simulator": "INI",
                "duration": steps,
                "num_to_test": samples,
                "batch_size": batch,
                "keras_backend": "tensorflow",
            },
        }
    )
    with (folder / "config").open("w") as file:
        config.write(file)
    return folder / "config"


def accuracies(folder: Path) -> tuple[list[float], float]:
    """Return the accuracy after each step, and the parsed network's, over all batches that snn_toolbox logged."""
    logs = sorted(folder.glob("log/**/log_vars/*.npz"), key=lambda path: int(path.stem))
    wrong = []
    for path in logs:
        with np.load(path, allow_pickle=True) as log:  # written by the process that reads it
            wrong.append(log["top1err_b_t"])
            parsed = float(log["top1err_ann"])  # over the batches so far
    return [float(each) for each in 1 - np.concatenate(wrong).mean(0)], 1 - parsed


def main(folder: Path, steps: int, batch: int) -> None:
    """Do all of it."""
    tf.keras.utils.set_random_seed(SEED)  # its output neurons spike by chance, as likely as the softmax says
    model = keras_model(folder)
    model.save(folder / "network.h5")
    images = np.load(folder / "x_test.npz")["arr_0"]
    logits = keras.Model(model.input, model.layers[-2].output)
    np.save(folder / "logits.npy", logits.predict(images, batch, verbose=0))
    from snntoolbox.bin.run import main as snntoolbox

    snntoolbox(str(write_config(folder, steps, len(images), batch)))
    accuracy, parsed = accuracies(folder)
    answers = {"accuracy": accuracy, "parsed": parsed, "versions": {name: version(name) for name in PACKAGES}}
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
