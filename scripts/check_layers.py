#!/usr/bin/env python3
"""Checks every #include in lib/ and apps/ against the list of parts in lib/CMakeLists.txt.

A part may include only itself and the parts it NEEDS, and may need only parts listed above it. A part's subfolders are
its ROOMS: a file may include its own room and the rooms listed before it ("." is the part's own folder).
Also checks that the files which the READMEs of lib/ name in backticks exist.
Exit 1 and a line for each fault."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
faults, order, needs, rooms = [], [], {}, {}


def read_parts():
    for match in re.finditer(r"^moemill_part\((\w+)([^)]*)\)", (root / "lib/CMakeLists.txt").read_text(), re.M):
        name, words, key = match[1], {"ROOMS": [], "NEEDS": [], "LIBRARIES": []}, None
        for word in match[2].split():
            if word in words: key = word
            else: words[key].append(word)
        faults.extend(f"lib/CMakeLists.txt: {name} needs {w}, which is not listed above it" for w in words["NEEDS"] if w not in order)
        order.append(name)
        needs[name], rooms[name] = set(words["NEEDS"]) | {name}, words["ROOMS"] or ["."]
    if not order: sys.exit("lib/CMakeLists.txt lists no parts: has its form changed?")


def room_of(path):
    """The room of a file, given by its path from lib/: "." for the part's own folder."""
    return "/".join(path.parts[1:-1]) or "."


def check(path, name):
    part, room = name.parts[0], room_of(name)
    if part not in needs: return faults.append(f"lib/{name}: part '{part}' is not listed in lib/CMakeLists.txt")
    if room not in rooms[part]: return faults.append(f"lib/{name}: room '{room}' is not among the ROOMS of {part} in lib/CMakeLists.txt")
    for number, line in enumerate(path.read_text().splitlines(), 1):
        include = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not include: continue
        other = pathlib.PurePath(include[1])
        if len(other.parts) < 2 or other.parts[0] not in needs: continue  # a header of the build, such as build_info_values.hpp
        if other.parts[0] not in needs[part]: faults.append(f"lib/{name}:{number}: {part} may not include {other.parts[0]}/")
        elif not (root / "lib" / other).exists(): faults.append(f"lib/{name}:{number}: there is no lib/{other}")
        elif other.parts[0] == part and rooms[part].index(room_of(other)) > rooms[part].index(room):
            faults.append(f"lib/{name}:{number}: {part}'s room {room} may not include its later room {room_of(other)}")


def check_named_files(readme, known):
    """A path such as `mill/mill.cpp` may lack its first folders. NAME stands for any name."""
    for number, line in enumerate(readme.read_text().splitlines(), 1):
        for name in re.findall(r"`([\w./-]+\.(?:hpp|cpp|inl|py|sh))`", line):
            if "NAME" not in name and not any(f"/{path}".endswith(f"/{name.lstrip('./')}") for path in known):
                faults.append(f"{readme.relative_to(root)}:{number}: there is no {name}")


read_parts()
known = [p.relative_to(root).as_posix() for top in ("lib", "apps", "scripts", "tests") for p in (root / top).rglob("*.*")]
for readme in sorted((root / "lib").rglob("README.md")): check_named_files(readme, known)
files = sorted(p for p in (root / "lib").rglob("*") if p.suffix in (".hpp", ".cpp", ".inl", ".inc", ".cu"))
for path in files: check(path, path.relative_to(root / "lib"))
print("\n".join(faults) if faults else f"{len(files)} files in {len(order)} parts include only what stands above them")
sys.exit(1 if faults else 0)
