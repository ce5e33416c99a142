"""Multiply-adds counted in machine code, against the assembly text that LLVM prints of the same functions."""

import json
import re
from collections import Counter

import llvmlite.binding as llvm
import pytest
from processes import run_python

from fastmix.profiling.machine_code import MachineCode, count_multiply_adds

NAMES = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}


def multiply_adds(types):
    """LLVM code of one function for each of some types, such as "<8 x double>", that multiplies and adds it."""
    lines = []
    for n, kind in enumerate(types):
        lanes, scalar = re.fullmatch(r"(?:<(\d+) x )?(double|float)>?", kind).groups()
        suffix = (f"v{lanes}" if lanes else "") + ("f64" if scalar == "double" else "f32")
        lines += [
            f"declare {kind} @llvm.fma.{suffix}({kind}, {kind}, {kind})",
            f"define {kind} @f{n}({kind} %a, {kind} %b, {kind}* %p) {{",
            f"  %c = load {kind}, {kind}* %p",
            f"  %d = call {kind} @llvm.fma.{suffix}({kind} %a, {kind} %b, {kind} %c)",
            f"  %e = call {kind} @llvm.fma.{suffix}({kind} %d, {kind} %c, {kind} %b)",
            f"  %g = fneg {kind} %e",
            f"  %h = call {kind} @llvm.fma.{suffix}({kind} %g, {kind} %c, {kind} %d)",
            f"  ret {kind} %h",
            "}",
        ]
    return "\n".join(lines)


def compiled_for(code, architecture, processor):
    """(assembly text, machine code) by LLVM for any processor."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(NAMES[architecture])
    machine = target.create_target_machine(cpu=processor, opt=3)
    module = llvm.parse_assembly(code)
    sections = llvm.ObjectFileRef.from_data(machine.emit_object(module)).sections()
    return machine.emit_assembly(module), b"".join(section.data() for section in sections if section.is_text())


def counted_in_assembly(text, architecture):
    """{(precision, bits): count} from the mnemonics and registers of assembly text."""
    found = Counter()
    for line in text.splitlines():
        if x86 := re.search(r"\bvfn?m(?:add|sub)\d{3}([ps])([sd])\b.*%([xyz])mm\d+\s*$", line.split("#")[0]):
            precision = "float64" if x86[2] == "d" else "float32"
            scalar = 64 if x86[2] == "d" else 32
            found[precision, scalar if x86[1] == "s" else {"x": 128, "y": 256, "z": 512}[x86[3]]] += 1
        elif architecture == "aarch64" and (arm := re.search(r"\bfml[as]\s+v\d+\.(\d)([ds])", line)):
            found["float64" if arm[2] == "d" else "float32", int(arm[1]) * (64 if arm[2] == "d" else 32)] += 1
        elif architecture == "aarch64" and (arm := re.search(r"\bfn?m(?:add|sub)\s+([ds])\d", line)):
            found["float64" if arm[1] == "d" else "float32", 64 if arm[1] == "d" else 32] += 1
    return found


@pytest.mark.parametrize(
    ("architecture", "processor"),
    [("x86_64", "skylake-avx512"), ("x86_64", "haswell"), ("x86_64", "znver4"), ("aarch64", "cortex-a76")],
)
def test_multiply_adds_are_those_of_the_assembly_text(architecture, processor):
    kinds = ["double", "float", "<2 x double>", "<4 x double>", "<8 x double>", "<4 x float>", "<16 x float>"]
    try:
        text, code = compiled_for(multiply_adds(kinds), architecture, processor)
    except RuntimeError:
        pytest.skip("this LLVM has no such target")
    expected = counted_in_assembly(text, architecture)
    assert sum(expected.values()) >= 3 * len(kinds)
    assert count_multiply_adds(code, architecture) == expected


def test_a_processor_without_fused_multiply_adds_has_none():
    _, code = compiled_for(
        "define double @f(double %a) {\n %b = fmul double %a, %a\n ret double %b\n}", "x86_64", "nehalem"
    )
    assert count_multiply_adds(code, "x86_64") == {}
    assert MachineCode({}).vector_bits == 0


def test_the_width_is_that_of_most_vectors():
    assert MachineCode({("float64", 512): 3, ("float64", 256): 2, ("float64", 64): 90}).vector_bits == 512
    assert MachineCode({("float64", 512): 3, ("float32", 256): 2, ("float64", 256): 2}).vector_bits == 256
    assert MachineCode({("float64", 64): 3}).vector_bits == 0


def test_code_from_the_cache_is_counted_like_fresh_code(tmp_path):
    code = """
        import fastmix, json
        from fastmix.profiling import run
        from fastmix.profiling.machine import MachineLimits
        run.measure_limits = lambda *_: MachineLimits("", 1, "float64", 1.0, 1.0, 1.0)
        reports = [fastmix.profile(n_rows=500, model="kmeans", quick=True).to_dict() for _ in range(2)]
        print(json.dumps([[report["compilation"], report["machine_code"]] for report in reports]))
    """
    fresh, cached = (json.loads(run_python(code, tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "cache"))) for _ in range(2))
    assert [compilation["source"] for compilation, _ in fresh] == ["compiled", "memory"]
    assert [compilation["source"] for compilation, _ in cached] == ["cache", "memory"]
    assert fresh[0][0]["seconds"] > 0
    assert fresh[1][0]["seconds"] is None
    codes = [code for _, code in fresh + cached]
    assert codes == [codes[0]] * 4
    assert codes[0]["multiply_adds"]
