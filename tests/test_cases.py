"""Every published behavior case has a row: it passes, a later subject brings it, or it never will.

A row is for a whole group, numbered from 01; EXCEPTIONS are for single cases. What passes stands
in cases.json, from which `tests.conftest.cases` makes the parameters of a test.
"""

import json
import os
import re
from pathlib import Path

import pytest

from tests.conftest import CASES

# group: (number of cases, what becomes of them)
GROUPS = {
    "SampleFrames": (30, "passes"),
    "DenseSampleFrames": (5, "passes"),
    "UniformSample": (7, "passes"),
    "UntrimmedSampleFrames": (3, "passes"),
    "SampleAVAFrames": (5, "passes"),
    "Resize": (16, "passes"),
    "RandomRescale": (1, "passes"),
    "CenterCrop": (5, "passes"),
    "ThreeCrop": (5, "passes"),
    "TenCrop": (2, "passes"),
    "MultiScaleCrop": (7, "passes"),
    "RandomResizedCrop": (4, "passes"),
    "RandomCrop": (4, "passes"),
    "Flip": (4, "passes"),
    "ColorJitter": (2, "passes"),
    "RandomErasing": (1, "passes"),
    "FormatShape": (5, "not applicable: arrays stay (v t h w c), PyTorch's layouts do not occur"),
    # skeleton
    "UniformSampleFrames": (10, "passes"),
    "MMUniformSampleFrames": (1, "passes"),
    "DecompressPose": (1, "passes"),
    "PoseCompact": (6, "passes"),
    "GeneratePoseTarget": (5, "passes"),
    "PreNormalize3D": (2, "passes"),
    "PreNormalize2D": (1, "passes"),
    "JointToBone": (4, "passes"),
    "GenSkeFeat": (1, "passes"),
    "PadTo": (2, "passes"),
    "FormatGCNInput": (4, "passes"),
    "Graph": (7, "passes"),
    # training
    "Heads": (2, "passes"),
    "Schedule": (6, "passes"),
    "OptimGroups": (4, "later: model families"),
    "ParamCount": (18, "later: model families"),
    "Blending": (1, "not applicable: PyTorch draws the center of the box, and cuts off fractions"),
    "Losses": (14, "passes"),
    # other tasks
    "Metrics": (25, "passes"),
    "Audio": (1, "passes"),
    "Localization": (8, "passes"),
    "ActivityNet": (1, "passes"),
    "AVA": (6, "passes"),
    "MultiSports": (2, "passes"),
    "Retrieval": (2, "passes"),
    "VQA": (1, "passes"),
}

# id: what becomes of it instead
EXCEPTIONS = {
    "FormatShape-01": "passes",  # the order of views
    "FormatShape-03": "passes",  # flow frames as channels
    "AVA-06": "not applicable: weights of boxes that the published loss leaves out",
    "OptimGroups-01": "passes",
    "OptimGroups-02": "passes",
    "OptimGroups-03": "passes",
    "OptimGroups-04": "passes",
    **{f"ParamCount-{i:02}": "passes" for i in range(1, 18)},
    "Losses-10": "later: SSN",
}

TABLE = {
    name: EXCEPTIONS.get(name, status)
    for group, (count, status) in GROUPS.items()
    for name in (f"{group}-{i:02}" for i in range(1, count + 1))
}
PASSING = {name for name, status in TABLE.items() if status == "passes"}


def test_every_case_has_a_row():
    assert len(TABLE) == 241
    assert EXCEPTIONS.keys() <= TABLE.keys()
    known = r"passes|later: .+|not applicable: .+"
    assert [s for s in TABLE.values() if not re.fullmatch(known, s)] == []


def test_exactly_what_passes_is_carried_along():
    assert CASES.keys() ^ PASSING == set()


def test_what_passes_is_tested():
    """By a test over its group, or by one that names it."""
    tests = [p for p in Path(__file__).parent.rglob("test_*.py") if p != Path(__file__)]
    text = "".join(path.read_text() for path in tests)
    groups = {group for group in GROUPS if f'cases("{group}")' in text}
    named = {name for name in TABLE if f'"{name}"' in text}
    assert {n for n in PASSING - named if n.rsplit("-", 1)[0] not in groups} == set()
    assert groups <= {name.rsplit("-", 1)[0] for name in PASSING}


def test_the_published_cases_are_those_of_the_table():
    folder = os.environ.get("JAXVID_REFERENCE")
    if not folder:
        pytest.skip("JAXVID_REFERENCE names no folder with the published cases.json")
    published = {c["id"]: c for c in json.loads((Path(folder) / "cases.json").read_text())}
    assert published.keys() ^ TABLE.keys() == set()
    for name, case in CASES.items():
        for key in case.keys() & {"args", "input", "expected", "seed"}:
            assert case[key] == published[name][key], (name, key)
