#!/usr/bin/python3
"""Writes the prompts.h5 fixtures of tests/dataset with h5py, in every form users write them. Needs python3-h5py."""
import pathlib

import h5py
import numpy as np

here = pathlib.Path(__file__).resolve().parent
TEXTS = ["Hello", "Grüße, 世界", "", "a b\nc", "🦜 end"]
TOKENS = [[1, 2, 3], [], [70000], [5, 4], [2147483647]]


def make(name):
    return h5py.File(here / (name + ".h5"), "w", track_order=False)


def packed(parent, name, rows, dtype, offsets_dtype="u8"):
    group = parent.create_group(name)
    group["values"] = np.array([v for row in rows for v in row], dtype)
    group["offsets"] = np.cumsum([0] + [len(row) for row in rows]).astype(offsets_dtype)


with make("three_lines") as f:
    f["prompt"] = TEXTS

with make("ascii_vlen") as f:
    f.create_dataset("prompt", data=["one", "two"], dtype=h5py.string_dtype("ascii"))
with make("fixed_null_padded") as f:
    f["prompt"] = np.array([t.encode() for t in TEXTS], "S")
with make("fixed_utf8_gzip") as f:
    data = np.array([t.encode() for t in TEXTS], h5py.string_dtype("utf-8", 24))
    f.create_dataset("prompt", data=data, compression="gzip", chunks=(2,))
for pad, name in ((h5py.h5t.STR_SPACEPAD, "fixed_space_padded"), (h5py.h5t.STR_NULLTERM, "fixed_null_ended")):
    with make(name) as f:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(8)
        kind.set_strpad(pad)
        dataset = h5py.h5d.create(f.id, b"prompt", kind, h5py.h5s.create_simple((3,)))
        fill = b" " if pad == h5py.h5t.STR_SPACEPAD else b"\0"
        cells = [b"one", b"two words"[:7], b" three"]
        raw = np.array([c.ljust(8, fill) for c in cells], "V8")
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, raw, mtype=kind)
with make("packed_text") as f:
    packed(f.create_group("train"), "prompt", [t.encode() for t in TEXTS], "u1", "i4")

with make("tokens_vlen") as f:
    d = f.create_dataset("prompt_token_ids", (5,), h5py.vlen_dtype(np.int32))
    for i, row in enumerate(TOKENS):
        d[i] = row
    f["prompt"] = ["as text"] * 5  # not used, so carried
with make("tokens_vlen_big_endian_u2") as f:
    d = f.create_dataset("prompt_token_ids", (2,), h5py.vlen_dtype(np.dtype(">u2")))
    d[0], d[1] = [1, 65535], [7]
with make("tokens_packed") as f:
    packed(f, "prompt_token_ids", TOKENS, "i8")
with make("tokens_bad") as f:
    packed(f, "prompt_token_ids", [[1, -1], [2**31], [3]], "i8")
with make("tokens_bad_u8") as f:
    packed(f, "prompt_token_ids", [[1, 2**64 - 1], [3]], "u8")

with make("columns") as f:
    n = 6
    f["prompt"] = [f"p{i}" for i in range(n)]
    f["id"] = [f"id-{i}-ü" for i in range(n)]
    f["n"] = np.array([1, 2, -1, 3, 1, 1], ">i2")
    f["temperature"] = np.array([0, np.nan, -1, 0.5, 1, 2], "f2")
    f["top_p"] = np.array([1, 0.25, -1, np.nan, 1, 0.5], ">f8")
    f["top_k"] = np.array([0, 5, -1, 40, 1, 2], "i1")
    f["min_p"] = np.array([0, 1, -1, np.nan, 0.5, 0.25], "f4")
    f["max_tokens"] = np.array([1, np.nan, -1, 7, 8, 9], "f8")
    f["seed"] = np.array([0, 2**64 - 1, 2, 3, 4, 5], ">u8")
    f["stop"] = ['["\\n", "###"]', "", "[]", '["é"]', "", ""]
    # carried
    f["label"] = np.arange(n, dtype=">i2")
    f["flag"] = np.array([True, False] * 3)
    f["name"] = ["Ann", "", "Zoë", "d", "e", "f"]
    f["code"] = np.array([b"a", b"bb", b"", b"d", b"e", b"f"], "S2")
    f["point"] = np.linspace(0, 1, n * 6).astype("f4").reshape(n, 3, 2)
    f["none"] = np.zeros((n, 0), "i4")
    d = f.create_dataset("tags", (n,), h5py.vlen_dtype(np.int16))
    for i in range(n):
        d[i] = np.arange(i)
    record = np.dtype([("x", "f8"), ("tag", h5py.string_dtype()), ("v", "i4", (2,))])
    f["record"] = np.array([(i / 3, f"t{i}", (i, -i)) for i in range(n)], record)
    f["version"] = 3  # a scalar is no column
    f.create_group("other")["of_another_length"] = np.arange(9)

with make("ids_integer") as f:
    f["prompt"] = ["a", "b", "c"]
    f["id"] = np.array([10, -5, 7], "i8")
with make("ids_double") as f:
    f["prompt"] = list("abcdef")
    f["id"] = ["x", "y", "z", "y", "x", "z"]
with make("ids_double_integer") as f:
    f["prompt"] = list("abcd")
    f["id"] = np.array([4, 2, 3, 4], "u4")
with make("bad_utf8") as f:
    f.create_dataset("prompt", data=np.array([b"good", b"bad \xff\xfe", b"\xc3"], object), dtype=h5py.string_dtype())

# What is refused: one file for each, under refused/.
(here / "refused").mkdir(exist_ok=True)


def refuse(name, **columns):
    with make("refused/" + name) as f:
        for column, data in columns.items():
            f[column] = data


refuse("no_rows", prompt=[])
refuse("no_prompt_column", text=["a", "b"])
refuse("ragged_option", prompt=["a", "b"], temperature=[0.5])
refuse("ragged_carried", prompt=["a", "b"], label=[1, 2, 3])
refuse("prompt_numbers", prompt=[1, 2])
refuse("prompt_scalar", prompt="one text")
refuse("prompt_table", prompt=[["a"], ["b"]])
refuse("prompt_compound", prompt=np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]))
refuse("tokens_table", prompt_token_ids=[[1, 2], [3, 4]])
refuse("tokens_floats", prompt_token_ids=[1.0, 2.0])
refuse("id_floats", prompt=["a", "b"], id=[1.0, 2.0])
refuse("n_text", prompt=["a", "b"], n=["1", "2"])
refuse("temperature_bool", prompt=["a", "b"], temperature=[True, False])
refuse("offsets_missing", **{"prompt/values": np.array([1], "u1")})
refuse("values_floats", **{"prompt_token_ids/values": [1.0], "prompt_token_ids/offsets": [0, 1]})
refuse("offsets_empty", **{"prompt/values": np.array([1], "u1"), "prompt/offsets": np.array([], "u8")})
with make("refused/reference") as f:
    f["prompt"] = ["a"]
    f.create_dataset("link", data=np.array([f["prompt"].ref], object), dtype=h5py.ref_dtype)
# Refused when the rows are looked at.
(here / "refused_rows").mkdir(exist_ok=True)
for name, column, data in (
    ("n_zero", "n", [1, 0]), ("n_negative", "n", [1, -2]), ("n_half", "n", [1, 1.5]), ("n_huge", "n", [1, 2**40]),
    ("temperature", "temperature", [0.5, -3]), ("temperature_infinite", "temperature", [0.5, np.inf]),
    ("top_p_zero", "top_p", [1, 0.0]), ("top_p_above", "top_p", [1, 1.5]), ("min_p", "min_p", [0, 1.5]),
    ("top_k", "top_k", [1, -7]), ("max_tokens", "max_tokens", [1, 0]), ("stop_text", "stop", ["", "\\n"]),
    ("stop_object", "stop", ["", "{}"]), ("stop_empty", "stop", ["", '["a", ""]']), ("stop_number", "stop", ["", "[1]"]),
):
    refuse("../refused_rows/" + name, prompt=["a", "b"], **{column: data})
refuse("../refused_rows/offsets_fall", **{"prompt/values": np.zeros(4, "u1"), "prompt/offsets": [0, 3, 1, 4]})
refuse("../refused_rows/offsets_beyond", **{"prompt/values": np.zeros(4, "u1"), "prompt/offsets": [0, 3, 9]})
refuse("../refused_rows/offsets_short", **{"prompt/values": np.zeros(4, "u1"), "prompt/offsets": [0, 3]})
refuse("../refused_rows/offsets_start", **{"prompt/values": np.zeros(4, "u1"), "prompt/offsets": [1, 4]})
refuse("../refused_rows/offsets_negative", **{"prompt/values": np.zeros(4, "u1"), "prompt/offsets": [0, -1, 4]})
