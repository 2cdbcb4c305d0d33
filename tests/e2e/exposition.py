"""The text format of Prometheus, version 0.0.4, read strictly.

    samples = parse(text)
    samples["wsrelayd_clients", ("route", "echo")] == 1

What a parser may pass over fails here: a metric without HELP and TYPE, lines of
one metric that do not stand together, two of the same labels, a histogram that
does not add up, and names that Prometheus' own lint complains about.
"""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)\}})? (\S+)")
TYPES = {"counter", "gauge", "histogram"}
# https://prometheus.io/docs/practices/naming: base units only.
NO_UNITS = re.compile(
    r"(milli|micro|nano)seconds|_(ms|us|ns|minutes|hours|kilobytes|kb|mb)(_|$)")


class Metric:
    def __init__(self, name, help_text):
        self.name, self.help, self.type = name, help_text, None
        self.samples = {}       # {(suffix, labels): value}
        self.label_names = []   # in the order of the first sample

    def owns(self, name):
        return name == self.name or self.type == "histogram" and name in {
            self.name + s for s in ("_bucket", "_sum", "_count")}


def value_of(text):
    if text in ("+Inf", "-Inf", "NaN"):
        return float(text)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?", text), text
    return float(text)


def parse_metrics(text):
    """[Metric], in order"""
    assert text.endswith("\n") and "\r" not in text
    metrics = []
    for line in text[:-1].split("\n"):
        if m := re.fullmatch(rf"# HELP ({NAME}) (\S.*)", line):
            assert m[1] not in {x.name for x in metrics}, f"{m[1]} twice"
            metrics.append(Metric(m[1], m[2]))
        elif m := re.fullmatch(rf"# TYPE ({NAME}) (\w+)", line):
            assert m[1] == metrics[-1].name and not metrics[-1].type, line
            assert m[2] in TYPES, line
            metrics[-1].type = m[2]
        else:
            add_sample(metrics[-1], line)
    for metric in metrics:
        check(metric)
    return metrics


def add_sample(metric, line):
    m = SAMPLE.fullmatch(line)
    assert m, f"no sample: {line!r}"
    assert metric.type and metric.owns(m[1]), line
    labels = tuple(re.findall(LABEL, m[2] or ""))
    names = [n for n, _ in labels]
    assert len(set(names)) == len(names), line
    shown = [n for n in names if n != "le"]
    if not metric.samples:
        metric.label_names = shown
    assert shown == metric.label_names, line
    key = m[1][len(metric.name):], labels
    assert key not in metric.samples, f"twice: {line}"
    metric.samples[key] = value_of(m[m.lastindex])


def check(metric):
    name = metric.name
    assert metric.type, f"{name} has no type"
    assert name == name.lower() and not NO_UNITS.search(name), name
    assert (metric.type == "counter") == name.endswith("_total"), name
    assert not re.search("_(bucket|sum|count|counter|gauge|histogram)$", name)
    assert metric.type not in name.split("_"), name
    if metric.type != "gauge":
        assert all(v >= 0 for v in metric.samples.values()), name
    if metric.type == "histogram":
        assert re.search("_(seconds|bytes)$", name), name
        check_histogram(metric)


def check_histogram(metric):
    series = {}
    for (suffix, labels), value in metric.samples.items():
        rest = tuple(x for x in labels if x[0] != "le")
        one = series.setdefault(rest, {"buckets": []})
        if suffix == "_bucket":
            assert labels[-1][0] == "le", labels
            one["buckets"].append((value_of(labels[-1][1]), value))
        else:
            assert labels == rest, labels
            one[suffix] = value
    for rest, one in series.items():
        bounds = [b for b, _ in one["buckets"]]
        counts = [n for _, n in one["buckets"]]
        assert bounds == sorted(set(bounds)) and math.isinf(bounds[-1]), rest
        assert counts == sorted(counts), (metric.name, rest, counts)
        assert counts[-1] == one["_count"] and "_sum" in one, rest


def parse(text):
    """{(name, label, label ...): value}; labels are pairs, sorted"""
    return {(metric.name + suffix, *sorted(labels)): value
            for metric in parse_metrics(text)
            for (suffix, labels), value in metric.samples.items()}
