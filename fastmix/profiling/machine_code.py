"""The width of the vectors in a compiled kernel, counted in its machine code.

The code counted is the object code that runs: that of a fresh compilation, or what Numba's cache on disk holds. (Assembly
text, which Numba's ``inspect_asm`` prints, is not to be had of a cached kernel.) Fused multiply-adds are found by their
encoding. On x86-64 any byte may begin an instruction, so a pattern of five bytes may also turn up by chance, about
once in 150 KB of code; on ARM64 every word is one instruction.

Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 2, sections 2.3 (VEX), 2.7 (EVEX) and the
pages of VFMADD132PD to VFNMSUB231SS; Arm Architecture Reference Manual for A-profile, C7.2 (FMLA, FMADD).
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import llvmlite.binding

# The second opcode byte of all fused multiply-adds and -subtracts: packed and scalar, orders 132, 213 and 231.
_FMA_OPCODES = b"".join(bytes([*range(first, first + 10)]) for first in (0x96, 0xA6, 0xB6))
_OPCODES = b"[" + b"".join(re.escape(bytes([code])) for code in _FMA_OPCODES) + b"]"
# C4, map 0F38 in the low five bits of the second byte, prefix 66 in the low two of the third.
_VEX = re.compile(
    b"(?=\xc4(?P<first>[\x02\x22\x42\x62\x82\xa2\xc2\xe2])(?P<second>.)(?P<opcode>" + _OPCODES + b"))", re.DOTALL
)
# 62, map 0F38, prefix 66 with the bit that is always set; the third byte says the length.
_EVEX = re.compile(
    b"(?=\x62(?P<first>.)(?P<second>.)(?P<third>.)(?P<opcode>" + _OPCODES + b")(?P<operands>.))", re.DOTALL
)


@dataclass(frozen=True, eq=False)
class MachineCode:
    """Fused multiply-adds in a kernel's code, by what one instruction works on.

    Attributes
    ----------
    instructions : {(precision, bits): count}; precision is "float64" or "float32", bits 512, 256 or 128 of a vector, and
        the precision's own 64 or 32 of a single number.
    """

    instructions: dict[tuple[str, int], int]

    @property
    def vector_bits(self) -> int:
        """The width that most of the vector multiply-adds have, in bits; 0 where there are none."""
        vectors = Counter[int]()
        for (precision, bits), count in self.instructions.items():
            if bits > _BITS[precision]:
                vectors[bits] += count
        return max(vectors, key=lambda bits: (vectors[bits], bits), default=0)


_BITS = {"float64": 64, "float32": 32}


def of_kernel(dispatcher: Any, signature: Any) -> MachineCode | None:
    """What a compiled kernel's code holds for one signature; None where Numba does not give the code away."""
    try:
        code = _object_code(dispatcher, signature)
    except (
        AttributeError,
        LookupError,
        TypeError,
    ):  # private parts of Numba, which another version may not have
        return None
    if code is None:
        return None
    found: Counter[tuple[str, int]] = Counter()
    for section in llvmlite.binding.ObjectFileRef.from_data(code).sections():
        if section.is_text():
            found += count_multiply_adds(section.data(), platform.machine().lower())
    return MachineCode(dict(sorted(found.items(), key=lambda item: (item[0][0], -item[0][1]))))


def _object_code(dispatcher: Any, signature: Any) -> bytes | None:
    library = dispatcher.overloads[signature].library
    try:
        return library.serialize_using_object_code()[2][0]
    except RuntimeError:  # it came from the cache on disk, and Numba has not kept it
        cache = dispatcher._cache
        saved = cache._cache_file.load(cache._index_key(signature, library.codegen))
        return None if saved is None else saved[0][2][0]


def count_multiply_adds(text: bytes, architecture: str) -> Counter[tuple[str, int]]:
    """Fused multiply-adds in the machine code ``text``; {(precision, bits): count}."""
    if architecture in ("arm64", "aarch64"):
        return _count_arm(text)
    return _count_x86(text)


def _count_x86(text: bytes) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for match in _VEX.finditer(text):
        second, opcode = match["second"][0], match["opcode"][0]
        if second & 0b11 == 0b01:
            found[_x86_operands(opcode, wide=second >> 7, length=second >> 2 & 1)] += 1
    for match in _EVEX.finditer(text):
        first, second, third = match["first"][0], match["second"][0], match["third"][0]
        if first & 0b1111 != 0b0010 or second & 0b111 != 0b101:
            continue
        registers_only, broadcast = match["operands"][0] >= 0xC0, third >> 4 & 1
        # With three registers the broadcast bit says "rounding given", and the length is then always 512.
        length = 2 if registers_only and broadcast else third >> 5 & 0b11
        if length < 3:
            found[_x86_operands(match["opcode"][0], wide=second >> 7, length=length)] += 1
    return found


def _x86_operands(opcode: int, wide: int, length: int) -> tuple[str, int]:
    precision = "float64" if wide else "float32"
    is_scalar = opcode & 0xF >= 9 and opcode & 1
    return precision, _BITS[precision] if is_scalar else 128 << length


# (mask, value) of an ARM64 word.
_FMLA, _FMLA_ELEMENT, _FMADD = (0xBF20FC00, 0x0E20CC00), (0xBF80B400, 0x0F801000), (0xFF000000, 0x1F000000)


def _count_arm(text: bytes) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for start in range(0, len(text) - 3, 4):
        word = int.from_bytes(text[start : start + 4], "little")
        precision = "float64" if word >> 22 & 1 else "float32"
        if any(word & mask == value for mask, value in (_FMLA, _FMLA_ELEMENT)):
            found[precision, 128 if word >> 30 & 1 else 64] += 1
        elif word & _FMADD[0] == _FMADD[1]:
            found[precision, _BITS[precision]] += 1
    return found
