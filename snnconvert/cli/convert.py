"""``snnconvert MODEL --calib PATH``: the main job."""

import shlex
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.core import ParameterSource

from snnconvert.cli.messages import print_json, print_path
from snnconvert.cli.options import PLACE, Common, Grouped, common_options, model_options, parse_shape
from snnconvert.errors import UsageError
from snnconvert.option_paths import OPTION_PATHS

if TYPE_CHECKING:
    from snnconvert.config import Job

EPILOG = """\b
Examples:
  snnconvert resnet.onnx --calib images/ --preprocess imagenet
  snnconvert lenet.onnx --calib mnist/:train --preprocess scale=1/255
  snnconvert net.onnx --calib train.npz --eval test.npz --steps 8,32
  snnconvert --config net_snn/config.yaml --out again    repeats a run
"""


class Convert(Grouped):
    """The main verb, whose many options stand under headings."""

    headings: ClassVar = {
        "Samples": ("calib", "eval", "preprocess", "calib_samples", "eval_samples", "skip_bad", "encoding", "seed"),
        "The model": ("input_shape", "output_name", "trust_model"),
        "Conversion": (
            *("method", "percentile", "percentile_of", "per_channel", "correct", "spikes", "neuron", "reset"),
            *("initial_potential", "max_pool", "weights"),
        ),
        "Time": ("steps", "onset_delay", "warm_up", "readout_from", "stop"),
        "Result": ("out", "force", "plots", "trace", "trace_neuron"),
        "Running": ("config", "set", "batch_size", "workers", "max_memory", "device"),
    }


@click.command("convert", cls=Convert, epilog=EPILOG)
@click.argument("model", type=PLACE, required=False)
@click.option(
    "--calib", type=PLACE, metavar="PATH", help="Samples to calibrate with: folder of images, .npz, .npy, IDX, CIFAR."
)
@click.option("--eval", type=PLACE, metavar="PATH", help="Samples to evaluate. [half of the calibration set]")
@click.option("--out", type=PLACE, metavar="DIR", help="Where the bundle goes. [./NAME_snn]")
@click.option("--force", is_flag=True, help="Replace a bundle that is there.")
@click.option(
    "--preprocess",
    metavar="SPEC",
    help="What training did to samples: imagenet, or such as scale=1/255,mean=.5/.4/.3,std=.2; also resize, crop, "
    "bgr. [none]",
)
@click.option("--calib-samples", type=click.IntRange(1), metavar="N", help="Calibrate with N of them. [all]")
@click.option("--eval-samples", type=click.IntRange(1), metavar="N", help="Evaluate N of them. [all]")
@click.option("--steps", metavar="LIST", help="Time steps to report; T is the last. [1,2,4,8,16,32]")
@click.option("--method", metavar="NAME", help="percentile, max, mse, balance, spike-norm, or auto. [percentile]")
@click.option(
    "--correct",
    metavar="LIST",
    help="What is fitted to real spikes: bias or step-bias, potential, weights, such as bias,weights; - for nothing. "
    "[bias]",
)
@click.option(
    "--spikes",
    type=click.Choice(["binary", "signed", "graded"]),
    help="What the hardware can send, for --method auto. [binary]",
)
@click.option("--neuron", metavar="NAME", help="Neuron model; --set neuron.k=15 and so on for its parameters. [if]")
@click.option(
    "--onset-delay",
    type=click.IntRange(0),
    metavar="D",
    help="The layer of depth l may fire D x l steps later; so many steps come on top of T. [0]",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(0),
    metavar="W",
    help="The layer of depth l keeps silent for its first W x l steps, of T. [0]",
)
@click.option(
    "--readout-from",
    type=click.IntRange(0),
    metavar="N",
    help="The readout leaves out its first N steps, which come on top of T. [0]",
)
@click.option(
    "--stop",
    type=float,
    metavar="MARGIN",
    help="A sample ends at the first of --steps at which its class leads by MARGIN times the mean lead of a step. "
    "[never]",
)
@click.option(
    "--percentile",
    type=float,
    metavar="P",
    help="The percentile of activations that is their scale; 100 is the maximum. [99.9]",
)
@click.option(
    "--percentile-of",
    type=click.Choice(["nonzero", "all"]),
    help="Whether the percentile counts activations of zero. [nonzero]",
)
@click.option("--per-channel/--per-layer", default=None, help="One scale a channel, or a layer. [per channel]")
@click.option("--reset", type=click.Choice(["subtract", "zero"]), help="What a spike does to the potential. [subtract]")
@click.option(
    "--initial-potential",
    type=float,
    metavar="FLOAT",
    help="The potential that neurons begin with, in thresholds. [0.5]",
)
@click.option(
    "--max-pool",
    type=click.Choice(["exact", "gate", "average", "before"]),
    help="How max pools treat spikes; all but exact approximate. [exact]",
)
@click.option(
    "--weights",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    help="What the hardware holds; int8: whole numbers times a power of two a channel. [float32]",
)
@click.option(
    "--encoding",
    type=click.Choice(["constant", "events"]),
    help="The input: a sample at each step, or an event recording as it comes. [constant]",
)
@click.option("--batch-size", type=click.IntRange(1), metavar="N", help="Samples simulated together. [16]")
@click.option("--skip-bad", type=click.IntRange(0), metavar="N", help="Pass over up to N unreadable images. [0]")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Processes that evaluate side by side. [1]")
@click.option(
    "--max-memory", metavar="SIZE", help="Take no more, such as 4G, and end with 7 where that is too little. [all]"
)
@click.option("--seed", type=int, help="Of the choice of samples, where not all are taken. [0]")
@click.option("--device", metavar="NAME", help="auto, cpu or cuda:0. [auto]")
@click.option("--plots", type=click.Choice(["svg", "png"]), help="Write pictures as files, too. [none]")
@click.option(
    "--trace", type=click.IntRange(0), metavar="SAMPLE", help="The evaluated sample shown over time. [one that changed]"
)
@click.option(
    "--trace-neuron", multiple=True, metavar="LAYER:N", help="A neuron shown over time, such as relu1:3,10,12. [some]"
)
@click.option(
    "--config", type=PLACE, metavar="FILE", help="A job in YAML, as in a bundle's config.yaml; options win over it."
)
@click.option("--set", multiple=True, metavar="A.B=C", help="Set any option of the YAML by its path.")
@model_options
@common_options
@click.pass_context
def command(context: click.Context, /, out: str | None, force: bool, config: str | None, **given: Any) -> None:
    """Convert MODEL to a spiking network, evaluate it over time, and write a bundle."""
    from snnconvert import pipeline

    common: Common = context.obj
    environment = {name for name in given if context.get_parameter_source(name) is ParameterSource.ENVIRONMENT}
    job = build(config, given.pop("set"), given, environment)
    destination = Path(out) if out is not None else Path(f"{Path(job.model).stem}_snn")
    told = shlex.join(["snnconvert", *sys.argv[1:]])
    with common.progress() as progress:
        conversion = pipeline.run(job, destination, force, told, progress)
    report(conversion.metrics, destination, common)


def build(config: str | None, assignments: Sequence[str], given: dict[str, Any], environment: Set[str]) -> "Job":
    """Compose the job: options win over --set, --set over options of the environment, these over the file."""
    from snnconvert.config import absolute_paths, build_job, set_option, set_path
    from snnconvert.report.evaluator import parse_steps
    from snnconvert.yaml_document import read_document

    document, places = ({}, {}) if config is None else read_document(Path(config))
    if document.get("trust_model") and not given.get("trust_model"):
        place = places.get("trust_model", config)
        raise UsageError("E301", f"{place}: trust_model: a file cannot ask to be trusted", "add --trust-model")
    absolute_paths(document, Path(config or "").parent)
    if given.get("correct") is not None:
        given["correct"] = [part.strip() for part in given["correct"].split(",") if part.strip() not in ("", "-")]
    if given.get("steps") is not None:
        given["steps"] = list(parse_steps(given["steps"]))
    given["trace_neuron"] = list(given.get("trace_neuron") or ()) or None
    if given.get("input_shape") is not None:
        given["input_shape"] = parse_shape(given["input_shape"])
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in environment & set(chosen):
        set_path(document, places, OPTION_PATHS[name], chosen.pop(name))
    for assignment in assignments:
        set_option(document, places, assignment)
    for name, value in chosen.items():
        set_path(document, places, OPTION_PATHS[name], value)
    if document.get("model") is None:
        raise UsageError("E002", "no model given", "snnconvert MODEL --calib PATH")
    calib = document.get("calib")
    if calib is None or (isinstance(calib, dict) and "path" not in calib):
        raise UsageError("E002", "no calibration samples given", "snnconvert MODEL --calib PATH")
    absolute_paths(document, Path())
    return build_job(document, "options", places)


def report(metrics: dict[str, Any], destination: Path, common: Common) -> None:
    """Print the result: the table and the bundle's path, or one JSON document."""
    from snnconvert.report.tables import steps_table

    if common.as_json:
        print_json({**metrics, "bundle": str(destination)})
    else:
        click.echo(steps_table(metrics), nl=False)
        if "diagnosis" in metrics:  # not of a bundle that is evaluated again
            common.progress().note(metrics["diagnosis"]["sentence"])
            common.progress().note(f"{destination / 'report.html'} shows all of it")
        print_path(str(destination))
