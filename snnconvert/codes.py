"""What every error code means, and what helps: for ``snnconvert explain`` and docs/errors.md.

The first digit tells the kind, and with it the exit status: 0 and 3 usage and configuration (2), 1 the model (3), 2
data (4), 4 output and environment (5), 5 limits (7), 9 faults of snnconvert itself (70). Warnings, W, end nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A code in words: in one line, what it means, and what helps."""

    title: str
    meaning: str
    advice: str


CODES = {
    "E001": Code(
        "a path that is not there",
        "A file or folder that an option names does not exist, cannot be opened, or is of another kind.",
        "Look at the path; of a folder with several parts name one, as in data:train. Paths in a YAML file count from "
        "that file.",
    ),
    "E002": Code(
        "an unknown name",
        "A verb, an option, a method, a neuron, a chip or the like is not known, or an option lacks its value.",
        "The hint names what is close; snnconvert -h and snnconvert VERB -h list all there are.",
    ),
    "E003": Code(
        "a value that does not do",
        "The option exists, but its value is out of range, or two options contradict each other.",
        "The message says what was expected, the hint which option to change.",
    ),
    "E101": Code(
        "not a model file",
        "The first bytes are of no ONNX, TorchScript or torch.export file, or the file is cut short or empty.",
        "Look at what was downloaded (a page of a web site? a Git LFS pointer?); export the network again.",
    ),
    "E102": Code(
        "a model file of more than 2 GiB",
        "Protocol buffers hold 2 GiB; so much of a network in one file cannot be read by anybody.",
        "onnx.save_model(..., save_as_external_data=True) writes the weights beside it.",
    ),
    "E110": Code(
        "external data out of its folder",
        "The model names a file of weights that is outside of its folder, behind a link, or no regular file.",
        "Put the weights beside the model, under the name that it has for them; links are never followed.",
    ),
    "E111": Code(
        "external data that does not fit",
        "A file of weights is missing, shorter or longer than the model says, or it changed while it was read.",
        "Copy model and weights again, together; or export the network with its weights inside.",
    ),
    "E112": Code(
        "a weight that cannot be read",
        "A weight has a type, shape or storage that is not supported (sparse, 4-bit, text, complex numbers), or its "
        "size is not what its shape says.",
        "Export the network in float32, with dense weights.",
    ),
    "E113": Code(
        "weights that are no numbers",
        "A weight is NaN or infinite. No ANN answers sensibly with it, so no conversion can.",
        "Look at the training; a batch norm with a variance of 0 has the same effect.",
    ),
    "E114": Code(
        "a graph that is damaged",
        "A value is read that nothing computes, the graph has a cycle, or two nodes write one value.",
        "Export the network again; tools that edit ONNX files often leave such graphs.",
    ),
    "E115": Code(
        "a version that is not known",
        "The model is written for a newer IR or opset than the onnx package knows, or names none.",
        "Install a newer onnx, or export for an older opset.",
    ),
    "E116": Code(
        "the reference does not run it",
        "ONNX Runtime, or torch, refuses the user's own network. What it computes can then not be compared.",
        "onnx.checker.check_model(path, full_check=True) tells more; run the network outside of snnconvert first.",
    ),
    "E117": Code(
        "numbers beyond float32",
        "An output is NaN or infinite on the samples, or rounding changes it by so much that nothing can be verified.",
        "Scale the samples as in training (--preprocess); networks that cancel large numbers cannot be converted.",
    ),
    "E118": Code(
        "a network that the schedule or the pools do not allow",
        "Spikes of different depths meet the analog input under an onset delay, or a max pool cannot take the form "
        "that was asked for.",
        "--onset-delay 0, or --max-pool exact; the message names the node.",
    ),
    "E119": Code(
        "no ReLU",
        "There is no activation that a spiking neuron could take the place of.",
        "Convert a network with ReLU between its layers; with --output-name choose an output behind one.",
    ),
    "E120": Code(
        "an operator, or a use of it, that cannot be converted",
        "Spiking neurons are rectifiers: ReLU, ReLU6 and clips from 0 up become neurons, what is linear stays, all "
        "else would be an approximation that nobody asked for. The message names the node, operator and reason.",
        "snnconvert inspect MODEL tells of every node at once. Often helps: train with ReLU in the place of GELU, SiLU "
        "or LeakyReLU; cut softmax and argmax off the end with --output-name; export in evaluation mode, with batch "
        "norm instead of layer norm. docs/operators.md lists what is read and with which restrictions.",
    ),
    "E121": Code(
        "too many nodes, or too large a text",
        "The graph, or the code of an archive, is larger than any network that could be converted, perhaps on purpose.",
        "Export a smaller network, or parts of it.",
    ),
    "E122": Code(
        "samples that are too large",
        "One sample, or the fixed batch of the file, would take more memory than is sensible.",
        "Export with a dynamic batch, for smaller samples.",
    ),
    "E123": Code(
        "an operator that is used out of its definition",
        "An attribute or an input of a node is missing, superfluous or out of range for the operator.",
        "Export the network again; the message names node and attribute.",
    ),
    "E124": Code(
        "shapes or types that do not fit",
        "A node cannot take the shape that it gets, or the model has several inputs, or none of float32.",
        "Export the network with one float32 input and fixed sizes but for the batch; --input-shape tells sizes that "
        "the file leaves open.",
    ),
    "E125": Code(
        "a step model that is not what it says",
        "snn.onnx of a bundle, or a file that was made of it, does not fit its own metadata.",
        "Make the bundle again with this version.",
    ),
    "E126": Code(
        "NIR has no words for it",
        "The network holds something that the Neuromorphic Intermediate Representation cannot express, such as gates, "
        "step biases, or neurons with several spikes.",
        "--approximate allows a change that the message names; --nir-profile native allows more; or convert with "
        "plainer options.",
    ),
    "E127": Code(
        "a NIR graph that is not as it was written",
        "The file lacks nodes, holds a loop, or is none of ours.",
        "Export it again.",
    ),
    "E128": Code(
        "nothing to verify with",
        "No samples were found on which all sums are exact, as verification asks for.",
        "Export without --verify; the evaluator of the bundle still runs.",
    ),
    "E129": Code(
        "not written as torch",
        "The module of torch holds plain integrate-and-fire neurons without a schedule only.",
        "export --to onnx holds every network.",
    ),
    "E130": Code(
        "TorchScript that could run code",
        "The archive calls something that is not on the list of harmless operators, types and expressions.",
        "torch.onnx.export and convert that file; or --trust-model, if you know who made it: it gives torch the "
        "archive as it is. docs/safety.md has the lists.",
    ),
    "E131": Code(
        "a torch.export file that could run code, or an old one",
        "The archive pickles its weights (torch before 2.8), or names operators that are not on the list.",
        "Export the network again with a newer torch, or with torch.onnx.export.",
    ),
    "E132": Code(
        "a pickle, or weights without their network",
        "torch.save of a module is a program that runs when it is opened; torch.save of a state dict has no network.",
        "Load it in Python, where you know what it is, and torch.onnx.export the module.",
    ),
    "E133": Code(
        "an archive that is damaged or hostile",
        "The zip file has members twice, outside of its folder, far larger than packed, or unlike its own directory.",
        "Save the network again; do not open such a file elsewhere either.",
    ),
    "E201": Code(
        "no samples",
        "The set is empty, has no file that can be read, or too few samples for what was asked for; or samples of a "
        "baseline are not among those that a check is given.",
        "Folders of images, one a class or with a labels.csv; .npz, .npy, IDX, CIFAR; event recordings.",
    ),
    "E202": Code(
        "a file of a sample that cannot be read",
        "It is cut short, of another format, too large, or missing.",
        "--skip-bad N passes over up to N such files, and says which.",
    ),
    "E203": Code(
        "a data file that is broken or hostile",
        "Its header and its size do not agree, it would expand beyond reason, or it holds Python objects.",
        "Store plain numbers, with numpy.savez or numpy.save; pickles are never read.",
    ),
    "E204": Code(
        "data that do not fit",
        "Samples have another shape than the model's input, values are no numbers, or labels are out of range.",
        "--preprocess brings images to size; labels count from 0, one a sample.",
    ),
    "E301": Code(
        "a configuration file with a mistake",
        "A key is unknown, missing or twice, or a value has another type; file, line and column are told.",
        "snnconvert schema batch gives editors what they need to check it while you write.",
    ),
    "E302": Code(
        "jobs that cannot be told apart",
        "Two jobs have one name, a name is no file name, the matrix is too large, or it excludes all.",
        "Give jobs names; sweep over fewer values.",
    ),
    "E303": Code(
        "a baseline that cannot be used",
        "It is broken, holds no such network, or has no row of that T.",
        "check --update --reason TEXT writes it anew, and still exits with 1.",
    ),
    "E401": Code(
        "a place that is taken",
        "There is something already, or the place lies among the samples or in a bundle.",
        "--force replaces a bundle; --out DIR writes elsewhere.",
    ),
    "E402": Code(
        "nothing could be written",
        "The disk is full, or the place is read-only. What was there before is there still.",
        "snnconvert doctor tries to write, and tells what is free.",
    ),
    "E403": Code(
        "a bundle that is damaged",
        "A file of it is missing, changed or extra, by its manifest.",
        "Make it again: snnconvert --config config.yaml --out again.",
    ),
    "E404": Code(
        "something is not installed, or not here",
        "A package that only this needs is missing, or the device that was asked for.",
        "The hint has the command that installs it; snnconvert doctor lists what there is.",
    ),
    "E405": Code(
        "a broken installation",
        "Files that belong to snnconvert are missing.",
        "Install it again.",
    ),
    "E501": Code(
        "out of memory or time, or a crash",
        "Memory ran out, or torch, in a process of its own, took too long or crashed on the model.",
        "A smaller --batch-size, --per-layer or fewer calibration samples need less memory.",
    ),
    "E901": Code("a fault in snnconvert", "Something of its own is named twice or wrongly.", "Please report it."),
    "E903": Code("a fault in snnconvert", "A pass left a graph out of order.", "Please report it, with the model."),
    "E910": Code(
        "a pass changed the function",
        "The loaded, folded or normalised network differs from the one before by more than rounding. Nothing was "
        "written, as it would not have been your network.",
        "Please report it, with the model: this is a fault in snnconvert, or samples on which the network itself is "
        "chaotic.",
    ),
    "E911": Code(
        "the simulation left the numbers",
        "NaN or infinity came up during the simulation.",
        "Look at the weights of the last layers; please report it, with the model.",
    ),
    "E912": Code(
        "two programs differ",
        "A check that should hold for every network did not: an exported file against the engine, or passes that do "
        "not come to rest.",
        "Please report it, with the model. The file was not written.",
    ),
    "E999": Code(
        "a bug in snnconvert",
        "An error that nobody foresaw. The message names the log with the traceback.",
        "Please report it, with that log; --debug shows the traceback at once.",
    ),
    "W205": Code(
        "calibration and evaluation share samples",
        "Some samples are, to the bit, in both sets: accuracy on them says less than on others.",
        "Evaluate on samples that were neither trained nor calibrated on.",
    ),
    "W206": Code(
        "the ANN itself does badly",
        "The network that was given, run by ONNX Runtime, is hardly better than chance on the evaluation samples; or "
        "the samples, whole numbers, went in as they are stored, and brought to at most 1 they suit it better. What is "
        "missing was lost before the conversion.",
        "--preprocess must do what was done in training: 'imagenet', or such as scale=1/255,mean=.5,std=.5. Labels "
        "must count the classes as the network does.",
    ),
}
