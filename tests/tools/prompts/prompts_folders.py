#!/usr/bin/env python3
"""scripts/prompts.py: which files of a datasets folder are read, by their splits and subsets.

    prompts_folders.py WORK_DIR [TEST ...]"""
import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from tools import check, columns, fresh, main, needs_pyarrow, script, write_lines  # noqa: E402


def laid_out(work, *names):
    """A folder of JSON lines; each file has one prompt, which is the file's name."""
    folder = fresh(work, "data_set")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_lines(folder / name, [{"prompt": name}])
    return folder


def read(folder, *words, code=0):
    """The files that were read, in order, or the error message."""
    inputs = folder if isinstance(folder, list) else [folder]
    done = script("prompts", *inputs, "-o", inputs[0].parent / "p.h5", "--overwrite", "--quiet", *words, code=code)
    return columns(inputs[0].parent / "p.h5")["prompt"] if code == 0 else done.stderr


def refused(folder, *words, naming):
    fault = read(folder, *words, code=2)
    check(all(word in fault for word in naming) and "Traceback" not in fault, fault)


def splits_in_names_of_files(work):
    shard = "-00000-of-00001"
    for names, splits in (([f"data/train_sft{shard}-a3ecf927.jsonl", f"data/test_sft{shard}-0123456789abcdef.jsonl"], ["test_sft", "train_sft"]),
                          ([f"train{shard}-a3ecf9279bd0a1f2.jsonl", f"test{shard}-b3ecf9279bd0a1f2.jsonl"], ["test", "train"]),
                          (["train_sft.jsonl", "test_sft.jsonl"], ["test_sft", "train_sft"]),
                          ([f"data/train{shard}.jsonl", f"data/validation_matched{shard}.jsonl", f"data/validation_mismatched{shard}.jsonl"],
                           ["train", "validation_matched", "validation_mismatched"]),
                          ([f"data/easy{shard}.jsonl", f"data/v1.hard{shard}.jsonl"], ["easy", "v1.hard"]),
                          (["train.jsonl", "dev.jsonl", "extra.jsonl"], ["dev", "extra", "train"]),
                          (["train/0000.jsonl", "test/0000.jsonl"], ["test", "train"]),
                          (["x/validation_matched/part-00000-of-00009.jsonl", "x/train/part-00000-of-00009.jsonl"], ["train", "validation_matched"])):
        folder = laid_out(work, *names)
        refused(folder, naming=[f"has the splits {', '.join(splits)}", "--split all"])
        check(read(folder, "--split", "all") == sorted(names), names)
        for split in splits:
            check(read(folder, "--split", split) == [n for n in names if re.search(rf"\b{split}(?![a-z])", n)], split, names)
        refused(folder, "--split", "nothing", naming=splits)
    many = [f"data/train-{i:05}-of-00012.jsonl" for i in range(12)]
    check(read(laid_out(work, *many)) == many and read(laid_out(work, *many), "--split", "train") == many)
    (laid_out(work, "my_train.jsonl", "dev.jsonl", "train-1/x.jsonl") / "train-1/x.jsonl").unlink()
    check(read(work / "data_set", "--split", "train") == ["my_train.jsonl"] and read(work / "data_set", "--split", "validation") == ["dev.jsonl"])
    refused(laid_out(work, "train_sft.jsonl", "train_gen.jsonl"), "--split", "train", naming=["train_gen, train_sft"])


def plain_folders(work):
    names = ["a.jsonl", "b.jsonl", "c.jsonl", "more/d.jsonl"]
    folder = laid_out(work, *names)
    check(read(folder) == names and read(folder, "--split", "all") == names)
    done = script("prompts", folder, "-o", work / "n.h5", "--quiet")
    check("4 files have no splits in their names" in done.stderr, done.stderr)
    refused(folder, "--split", "train", naming=["contain no splits"])
    check(read(laid_out(work, "x.jsonl", ".cache/y.jsonl", "__MACOSX/z.jsonl", ".w.jsonl")) == ["x.jsonl"])


def subsets(work):
    names = [f"{lang}/{split}-00000-of-00001.jsonl" for lang in ("en", "fr") for split in ("test", "train")]
    folder = laid_out(work, *names)
    for words in ([], ["--split", "train"], ["--split", "all"]): refused(folder, *words, naming=["subsets en, fr", "folder of one"])
    check(read(folder / "fr", "--split", "train") == ["fr/train-00000-of-00001.jsonl"])
    check(read([folder / "fr", folder / "en"], "--split", "train") == ["fr/train-00000-of-00001.jsonl", "en/train-00000-of-00001.jsonl"])
    refused(laid_out(work, "en/train-00000-of-00001.jsonl", "fr/train-00000-of-00001.jsonl"), naming=["subsets en, fr"])
    refused(laid_out(work, "train.jsonl", "old/train.jsonl"), naming=["subsets ., old"])
    check(read(laid_out(work, "default/train/0000.jsonl", "default/train/0001.jsonl")) == ["default/train/0000.jsonl", "default/train/0001.jsonl"])


def saved_by_datasets(work):
    folder = fresh(work, "saved")
    for name, text in (("dataset_dict.json", "{"), ("dataset_dict.json", "[]"), ("dataset_dict.json", "{}"), ("state.json", '{"_data_files": [1]}')):
        (folder / name).write_text(text)
        refused(folder, "--split", "train", naming=[name, "save_to_disk"])
        (folder / name).unlink()
    needs_pyarrow()
    import pyarrow as pa
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    for split in ("train", "test"):
        (folder / split).mkdir()
        table = pa.table({"prompt": [split]})
        with pa.OSFile(str(folder / split / "data.arrow"), "wb") as f, pa.ipc.new_stream(f, table.schema) as w: w.write_table(table)
        (folder / split / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    refused(folder, naming=["test, train", "--split all"])
    check(read(folder, "--split", "all") == ["test", "train"] and read(folder, "--split", "test") == ["test"])


def pipes(work):
    os.mkfifo(work / "a.jsonl")
    refused(work / "a.jsonl", naming=["is not a regular file"])


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), [splits_in_names_of_files, plain_folders, subsets, saved_by_datasets, pipes], sys.argv[2:])
