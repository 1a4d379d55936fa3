"""Valid files with something wrong in one to four places."""

from __future__ import annotations

import random
import re

TOKENS = [
    *(b"&a *a !!python/object/apply:os.system !!binary << - ? : | > % @ ` ' \" { } [ ] , # --- ... \\x00".split()),
    *(b"-1 0 1e309 .nan .inf 0x7fffffffffffffff 99999999999999999999 1e-400 true null ~ yes 0o17".split()),
    b"\n", b"\n  ", b"\t", b"\0", b"\r", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x85", b"\xed\xa0\x80",
]  # fmt: skip
INSTRUCTIONS = [b"cos\nsystem\n", b"(S'x'\ntR", b"\x81", b"\x82\x01", b"Q", b"b", b"h\0"]
NUMBERS = [b"-1", b"0", b"4294967296", b"9223372036854775807", b"18446744073709551616", b"1e9", b'"1"', b"[]", b"null"]


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    """Return a binary file's content with bytes changed, lost, put in; with instructions of pickles among them."""
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(damaged) or 1)
        match chance.randrange(8):
            case 0:
                damaged[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                damaged[at : at + 1] = bytes([damaged[at] ^ 1 << chance.randrange(8)]) if damaged else b""
            case 2:
                del damaged[at : at + chance.randint(1, 16)]
            case 3:
                damaged[at:at] = chance.randbytes(chance.randint(1, 16))
            case 4:
                damaged[at : at + 8] = chance.choice([b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f"])
            case 5:
                damaged[at:at] = chance.choice(INSTRUCTIONS)
            case 6:
                damaged = damaged[:at]
            case 7:  # a number in a header of text
                numbers = list(re.finditer(rb"\d+", damaged[:4096]))
                if numbers:
                    found = chance.choice(numbers)
                    damaged[found.start() : found.end()] = chance.choice(NUMBERS)
    return bytes(damaged)


def mutate_text(content: bytes, chance: random.Random) -> bytes:
    """Return a config's content with lines and words changed, lost, doubled, exchanged, put in."""
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        words = list(re.finditer(rb"[\w.+-]+", damaged))
        lines = damaged.splitlines(keepends=True)
        at = chance.randrange(len(damaged) or 1)
        match chance.randrange(7):
            case 0:
                damaged[at:at] = chance.choice(TOKENS)
            case 1 if words:
                word = chance.choice(words)
                damaged[word.start() : word.end()] = chance.choice(TOKENS)
            case 2 if words:
                one, other = chance.choice(words), chance.choice(words)
                damaged[one.start() : one.end()] = other[0]
            case 3 if lines:
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                damaged = bytearray(b"".join(lines))
            case 4 if lines:
                del lines[chance.randrange(len(lines))]
                damaged = bytearray(b"".join(lines))
            case 5:
                damaged[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                del damaged[at : at + chance.randint(1, 8)]
    return bytes(damaged)
