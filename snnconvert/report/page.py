"""One HTML page about one conversion: complete in itself, without scripts, readable offline and on paper."""

import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from snnconvert.report.costs import energy_rows, measure_rows
from snnconvert.report.curve import ENERGY, SYNOPS, accuracy_curve_svg
from snnconvert.report.gaps import meaning, three_curves_svg
from snnconvert.report.page_samples import changed_of, densities_of, markup, traces_of
from snnconvert.report.page_table import Table, table, unbroken
from snnconvert.report.plot import CURVE_CSS, DARK, LIGHT
from snnconvert.report.quantities import NOTHING, count, interval, number, percent, plain, rows, section, suffixed
from snnconvert.report.tables import ENOUGH, mean_steps, row_to, steps_cells, steps_to, total_steps, verdict
from snnconvert.report.text import printable


def render_page(context: Mapping[str, Any]) -> bytes:
    """Return the page as UTF-8; the same context gives the same bytes.

    The context has ``title``, ``version``, ``model`` (name, sha256, nodes), ``metrics`` (a metrics.json document),
    ``notes``, ``equivalence``, ``options``, ``data``, ``nodes`` and ``command``. Every text in it may be hostile: it is
    shortened, freed of control characters and escaped. OutputError E403 for metrics that are no numbers.
    """
    metrics = context["metrics"]
    return rendered(
        "page.html.j2",
        title=printable(str(context["title"]), 120),
        version=printable(str(context["version"])),
        # the pictures pass unescaped: markup of our own making, in which every text from outside is escaped
        curve=accuracy_curve_svg(metrics),
        costs_of_accuracy=_against_costs(metrics),
        gaps=three_curves_svg(metrics),
        verdict=unbroken(verdict(metrics)),
        facts=_facts(context),
        notes=[printable(str(note), 600) for note in context["notes"]],
        steps=_steps(metrics),
        advice=_advice(metrics),
        causes=_causes(metrics),
        diagnosis=_diagnosis(metrics),
        meaning=[unbroken(each) for each in meaning(metrics)],
        layers=_layers(metrics),
        worst=_worst_layer(metrics),
        densities=densities_of(context.get("densities") or []),
        traces=traces_of(context.get("traces")),
        changed=changed_of(context.get("changes")),
        costs=_costs(metrics),
        energy=_energy(metrics),
        equivalence=_equivalence(context["equivalence"]),
        graph=markup(context.get("graph")),
        nodes=_nodes(context["nodes"]),
        data=_data(context["data"]),
        options=_options(context["options"]),
        command=printable(str(context["command"]), 4000),
        versions=", ".join(f"{printable(name, 40)} {printable(each, 40)}" for name, each in _versions(context)),
    )


def rendered(template: str, **values: Any) -> bytes:
    """Return a page as UTF-8: a template of this folder with these values, and the style that all pages share."""
    environment = Environment(
        loader=FunctionLoader(_resource),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = {"css": _resource("page.css"), "style": CURVE_CSS, "light": LIGHT, "dark": DARK}
    return environment.get_template(template).render(**style, **values).encode("utf-8", "replace")


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _facts(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    model, metrics = context["model"], context["metrics"]
    schedule, macs = section(metrics, "schedule"), section(metrics, "macs_per_sample")
    last = rows(metrics, "steps")[-1:]
    energy = number(last[0].get("energy_ratio")) if last else None
    facts = [
        ("model", printable(str(model["name"]))),
        ("sha256", printable(str(model["sha256"]))),
        ("nodes", count(number(model["nodes"]))),
        ("time steps T", count(number(schedule.get("T")))),
        ("onset delay", count(number(schedule.get("onset_delay")))),
        ("samples", count(number(metrics.get("samples")))),
        ("MACs of the ANN", suffixed(number(macs.get("ann")))),
        (f"steps to {ENOUGH:.0%} of the ANN", count(steps_to(metrics))),
        (f"SynOps to {ENOUGH:.0%} of the ANN", suffixed(number(row_to(metrics).get("synops_per_sample")))),
        ("energy by a 45 nm model", NOTHING if energy is None else f"{plain(energy)} × ANN"),
    ]
    return [(name, unbroken(value)) for name, value in facts if value != NOTHING]


def _against_costs(metrics: Mapping[str, Any]) -> list[Markup]:
    """Return the accuracy against operations and against energy, where these were counted."""
    return [
        Markup(accuracy_curve_svg(metrics, along, identifier=along.column))  # noqa: S704 - numbers of ours
        for along in (SYNOPS, ENERGY)
        if any((number(row.get(along.column)) or 0) > 0 for row in rows(metrics, "steps"))
    ]


def _steps(metrics: Mapping[str, Any]) -> Table:
    """Return the printed table with what has no room in a terminal: intervals, total time, output error, energy."""
    header, cells = steps_cells(metrics)
    steps = rows(metrics, "steps")
    columns = [(name, [row[k] for row in cells]) for k, name in enumerate(header)]
    ends = [interval(row.get("accuracy_ci95")) for row in steps]
    if any(ends):
        spans = [f"{100 * e[0]:.1f} – {100 * e[1]:.1f} %" if e else NOTHING for e in ends]
        columns.insert(2, ("95 % interval", spans))  # beside the accuracy
    if totals := total_steps(metrics):
        columns.insert(1, ("total steps", list(totals)))
    if taken := mean_steps(metrics):
        columns.insert(1, ("mean steps", list(taken)))
    if "output error" not in header and any(row.get("output_error") is not None for row in steps):
        columns.append(("output error", [percent(number(row.get("output_error"))) for row in steps]))
    if any(row.get("energy_ratio") is not None for row in steps):
        columns.append(("energy / ANN", [plain(number(row.get("energy_ratio"))) for row in steps]))
    wide = [tuple(texts[k] for _, texts in columns) for k in range(len(steps))]
    return table("Result after so many time steps", tuple(name for name, _ in columns), wide)


def _advice(metrics: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return the sentence in parts, and which of them are options, to be copied and not broken."""
    sentence = unbroken(printable(str(section(metrics, "diagnosis").get("sentence") or ""), 600))
    return [(part, part.startswith("--")) for part in re.split(r"(--[a-z][-a-z]*)", sentence) if part]


def _causes(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the parts of the output error, and how it was measured."""
    diagnosis = section(metrics, "diagnosis")
    errors = section(diagnosis, "output_error")
    names = ("clipping", "quantisation", "unevenness", "total")
    parts = [(name, unbroken(percent(number(errors.get(name)), 1))) for name in names]
    return [(name, told) for name, told in parts if told != NOTHING]


def _diagnosis(metrics: Mapping[str, Any]) -> Table:
    names = ("clipping", "quantisation", "unevenness", "output_error", "fired_wrongly", "silent_wrongly")
    cells = [
        (
            printable(str(row.get("name", NOTHING))),
            *(percent(number(row.get(name)), 1) for name in (*names, "dead", "saturated")),
        )
        for row in rows(section(metrics, "diagnosis"), "layers")
    ]
    header = ("layer", "clipping", "quantisation", "unevenness", "alone", "fired", "silent", "dead", "saturated")
    diagnosis = section(metrics, "diagnosis")
    asked = f"T = {count(number(diagnosis.get('t')))}, {count(number(diagnosis.get('samples')))} calibration samples"
    return table(f"Share of the output error by layer and cause, {asked}", header, cells, {"layer"})


def _layers(metrics: Mapping[str, Any]) -> Table:
    cells = [
        (
            printable(str(row.get("name", NOTHING))),
            count(number(row.get("neurons"))),
            plain(number(row.get("scale"))),
            plain(number(row.get("rate"))),
            percent(number(row.get("rate_error"))),
            percent(number(row.get("clipped"))),
            percent(number(row.get("dead"))),
        )
        for row in rows(metrics, "layers")
    ]
    header = ("layer", "neurons", "scale", "rate", "rate error", "clipped", "dead")
    return table("Spiking layers, in the order of the network", header, cells, {"layer"})


def _worst_layer(metrics: Mapping[str, Any]) -> tuple[str, str] | None:
    errors = [(number(row.get("rate_error")), row) for row in rows(metrics, "layers")]
    known = [(error, row) for error, row in errors if error is not None]
    if len(known) < 2:
        return None
    error, row = max(known, key=lambda pair: pair[0])
    return printable(str(row.get("name", NOTHING))), unbroken(percent(error))


def _costs(metrics: Mapping[str, Any]) -> Table:
    cost = section(metrics, "cost")
    asked = f"T = {count(number(cost.get('steps')))}, mean of {count(number(cost.get('samples')))}"
    return table(
        f"Of one sample, {asked}",
        ("measure", "value", "what it is"),
        measure_rows(cost) if cost else [],
        {"measure", "what it is"},
    )


def _energy(metrics: Mapping[str, Any]) -> Table:
    header = ("energy model", "a sample", "ANN, float32", "ANN, int8", "source")
    return table(
        "Energy of one sample, and times that of the ANN",
        header,
        energy_rows(section(metrics, "cost")),
        {"energy model", "source"},
    )


def _equivalence(stages: Iterable[Mapping[str, Any]]) -> Table:
    cells = []
    for stage in stages:
        error, limit = number(stage["max_error"]), number(stage["limit"])
        held = NOTHING if error is None or limit is None else "holds" if error <= limit else "exceeded"
        compared = stage["compared"]
        told = printable(compared, 120) if isinstance(compared, str) else count(number(compared))
        cells.append((printable(str(stage["stage"])), told, plain(error), plain(limit), held))
    header = ("stage", "compared", "largest error", "limit", "verdict")
    return table("What was compared with what after each stage", header, cells, {"stage", "compared", "verdict"})


def _nodes(nodes: Iterable[Mapping[str, Any]]) -> Table:
    cells = [
        (
            printable(str(node["name"])),
            printable(str(node["operator"]), 40),
            printable(str(node["fate"]), 40),
            plain(number(node["scale"])),
            printable(str(node["detail"] or ""), 200),
        )
        for node in nodes
    ]
    header = ("node", "operator", "became", "scale", "detail")
    return table("Every node of the model file", header, cells, {"node", "operator", "became", "detail"})


def _versions(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and versions of the packages whose numbers end up in a result."""
    return [(str(name), str(each)) for name, each in sorted(context.get("versions", {}).items())]


def _data(sets: Iterable[Mapping[str, Any]]) -> Table:
    cells = [
        (
            printable(str(entry["role"]), 40),
            printable(str(entry["path"]), 200),
            count(number(entry["samples"])),
            printable(str(entry["kind"]), 40),
            printable(str(entry["layout"] or NOTHING), 40),
            printable(str(entry["preprocess"] or "none"), 300),
            printable(str(entry.get("digest") or NOTHING)[:16]),
        )
        for entry in sets
    ]
    header = ("role", "path", "samples", "kind", "layout", "preprocessing", "digest")
    return table("Data that was read", header, cells, {"role", "path", "kind", "layout", "preprocessing", "digest"})


def _options(options: Mapping[str, Any]) -> Table:
    cells = [(printable(str(name)), _literal(value)) for name, value in sorted(options.items())]
    return table("Every option, resolved", ("option", "value"), cells, {"option", "value"})


def _literal(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return printable(text, 300)
