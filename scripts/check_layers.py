#!/usr/bin/env python3
"""Holds every #include in lib/ against the list of parts in lib/CMakeLists.txt.

A part may include only itself and the parts it NEEDS, and may need only parts listed above it.
Exit 1 and a line for each fault."""
import pathlib
import re
import sys

lib = pathlib.Path(__file__).resolve().parent.parent / "lib"
text = (lib / "CMakeLists.txt").read_text()
needs, order, faults = {}, [], []
for match in re.finditer(r"^moemill_part\((\w+)([^)]*)\)", text, re.M):
    name, rest = match[1], match[2].split()
    wanted, mode = [], None
    for word in rest:
        if word in ("NEEDS", "LIBRARIES"): mode = word
        elif mode == "NEEDS": wanted.append(word)
    faults += [f"lib/CMakeLists.txt: {name} needs {w}, which is not listed above it" for w in wanted if w not in order]
    order.append(name)
    needs[name] = set(wanted) | {name}
if not order: sys.exit("lib/CMakeLists.txt lists no parts: has its form changed?")
files = 0
for path in sorted(p for p in lib.rglob("*") if p.suffix in (".hpp", ".cpp", ".inl", ".cu")):
    part = path.relative_to(lib).parts[0]
    files += 1
    if part not in needs:
        faults.append(f"{path.relative_to(lib.parent)}: part '{part}' is not listed in lib/CMakeLists.txt")
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        include = re.match(r'\s*#\s*include\s+"(\w+)/', line)
        if include and include[1] in needs and include[1] not in needs[part]:
            faults.append(f"{path.relative_to(lib.parent)}:{number}: {part} may not include {include[1]}/")
print("\n".join(faults) if faults else f"{files} files in {len(order)} parts include only what stands above them")
sys.exit(1 if faults else 0)
