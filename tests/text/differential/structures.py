"""tokenizer.json files with the structures of published MoE models and small vocabularies trained on made-up text, and random files with
every part that the library has and moemill reads. Needs the `tokenizers` package."""
import json
import random

from tokenizers import Tokenizer, models, trainers

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GLM4 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
KIMI = "|".join([
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
             "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
             " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]
DEEPSEEK2 = ["[\r\n]",
             "\\s?[" "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
             "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
             "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
             "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-"
             "\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
             "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-"
             "\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
             "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17"
             "\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-"
             "\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
             "]+",
             "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", "\\s+$", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"]
SPACE = "▁"
BYTES = [f"<0x{b:02X}>" for b in range(256)]


def byte_letters():
    printable = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE]
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in printable else chr(next(others)) for b in range(256)]


def token(content, special=True, **flags):
    return {"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": special} | flags


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def level(regex=False, prefix=False, trim=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def normalizers(*all):
    return {"type": "Sequence", "normalizers": list(all)}


def pieces(*all):
    return {"type": "Sequence", "pretokenizers": list(all)}


def decoders(*all):
    return {"type": "Sequence", "decoders": list(all)}


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def metaspace(scheme="first", cut=False):
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": cut}


def template(before=(), after=()):
    def item(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}
    return {"type": "TemplateProcessing", "names": list(before) + list(after),
            "single": [item(n) for n in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [item(n) for n in after],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]}


LLAMA_DECODER = decoders(replace(SPACE, " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                         {"type": "Strip", "content": " ", "start": 1, "stop": 0})
LLAMA_NORMALIZER = normalizers({"type": "Prepend", "prepend": SPACE}, replace(" ", SPACE))


def families():
    """name -> (kind of model, its options, the other parts of the file). Added tokens get their ids in fill()."""
    byte = {"decoder": level(regex=True, prefix=True), "post_processor": level(trim=False)}
    im = [token("<|endoftext|>"), token("<|im_start|>"), token("<|im_end|>"), token("<think>", False), token("</think>", False)]
    bar = [token("<｜begin▁of▁sentence｜>"), token("<｜end▁of▁sentence｜>"), token("<｜User｜>", False)]
    inst = [token(t) for t in ("<unk>", "<s>", "</s>")]
    neox = [token("<|endoftext|>"), token("<|padding|>")] + \
           [token(" " * n, False, normalized=True) for n in range(24, 1, -1)] + \
           [token("|||EMAIL_ADDRESS|||", False, normalized=True), token("|||IP_ADDRESS|||", False, normalized=True)]
    f = {}
    f["gpt2"] = "bytes", {}, byte | {"pre_tokenizer": level(regex=True), "added_tokens": im[:1]}
    f["gpt2_prefix"] = "bytes", {}, byte | {"pre_tokenizer": level(regex=True, prefix=True), "added_tokens": im}
    f["olmoe"] = "bytes", {}, byte | {"normalizer": {"type": "NFC"}, "pre_tokenizer": level(regex=True), "added_tokens": neox,
                                      "post_processor": template(after=["<|endoftext|>"])}
    f["qwen"] = "bytes", {}, byte | {"normalizer": {"type": "NFC"}, "added_tokens": im,
                                     "pre_tokenizer": pieces(split(QWEN), level())}
    f["deepseek_v3"] = "bytes", {}, byte | {"normalizer": normalizers(), "added_tokens": bar,
                                            "pre_tokenizer": pieces(*map(split, DEEPSEEK3), level()),
                                            "post_processor": template([bar[0]["content"]])}
    f["deepseek_v2"] = "bytes", {}, byte | {"normalizer": normalizers(), "added_tokens": bar, "pre_tokenizer": pieces(
        *map(split, DEEPSEEK2), {"type": "Digits", "individual_digits": True}, level()),
        "post_processor": template([bar[0]["content"]])}
    f["gpt_oss"] = "bytes", {"ignore_merges": True}, byte | {
        "added_tokens": [token(t) for t in ("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|channel|>", "<|start|>")],
        "pre_tokenizer": pieces(split(O200K), level())}
    f["o200k_inverted"] = "bytes", {}, byte | {"added_tokens": im, "pre_tokenizer": pieces(
        split(O200K, "Removed", True), level())}
    f["glm4"] = "bytes", {"ignore_merges": True}, byte | {
        "added_tokens": [token(t) for t in ("<|endoftext|>", "[MASK]", "[gMASK]", "<sop>", "<|user|>")] +
                        [token("<think>", False), token("/nothink", False)],
        "pre_tokenizer": pieces(split(GLM4), level()), "post_processor": template(["[gMASK]", "<sop>"])}
    f["kimi_k2"] = "bytes", {"ignore_merges": True}, byte | {
        "added_tokens": [token("[BOS]"), token("[EOS]"), token("<|im_end|>"), token("<|media_pad|>", False)],
        "pre_tokenizer": pieces(split(KIMI), level())}
    f["llama3"] = "bytes", {"ignore_merges": True}, byte | {
        "added_tokens": [token("<|begin_of_text|>")], "pre_tokenizer": pieces(split(LLAMA3), level()),
        "post_processor": {"type": "Sequence", "processors": [level(trim=False), template(["<|begin_of_text|>"])]}}
    f["cl100k"] = "bytes", {"ignore_merges": True}, byte | {"added_tokens": im, "pre_tokenizer": pieces(split(CL100K), level())}
    f["granite"] = "bytes", {}, byte | {"added_tokens": im, "pre_tokenizer": pieces(
        {"type": "Digits", "individual_digits": True}, level(regex=True))}
    sp = {"unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True}
    f["mixtral"] = "characters", sp, {"normalizer": LLAMA_NORMALIZER, "decoder": LLAMA_DECODER, "added_tokens": inst,
                                      "post_processor": template(["<s>"])}
    f["phimoe"] = "characters", sp, {"normalizer": LLAMA_NORMALIZER, "decoder": LLAMA_DECODER, "added_tokens": inst[:2] +
                                     [token("</s>", False, rstrip=True), token("<|end|>", rstrip=True),
                                      token("<|assistant|>", rstrip=True)], "post_processor": template(["<s>"])}
    f["llama_legacy_tokens"] = "characters", sp, {
        "normalizer": LLAMA_NORMALIZER, "decoder": LLAMA_DECODER, "post_processor": template(["<s>"]),
        "added_tokens": [t | {"normalized": True} for t in inst] + [token("[INST]", False, normalized=True)]}
    for scheme in ("first", "always", "never"):
        for cut in (False, True):
            f[f"mixtral_{scheme}_{cut}"] = "characters", sp, {
                "pre_tokenizer": metaspace(scheme, cut), "decoder": LLAMA_DECODER, "post_processor": template(["<s>"]),
                "added_tokens": inst + [token("[INST]"), token("[/INST]"), token("[TOOL_CALLS]", False)]}
    f["metaspace_decoder"] = "characters", sp, {"pre_tokenizer": metaspace("always", True), "decoder": metaspace("always", True),
                                                "added_tokens": inst}
    f["no_bytes"] = "characters", {"unk_token": "<unk>", "fuse_unk": True}, {
        "normalizer": normalizers({"type": "NFKC"}, {"type": "Lowercase"}, LLAMA_NORMALIZER), "decoder": LLAMA_DECODER,
        "added_tokens": inst + [token("ＡＢ", False, normalized=True), token("The", False, single_word=True, normalized=True)]}
    return f


SAMPLE = ("the quick brown fox don't DON'T we'll they've I'm HTTPServer camelCase snake_case 12 345 6789 3.14 x += 1; }\n\n"
          "    return foo(bar[0]);\r\n\tif (a != b) { c(); }  // comment\n déjà vu naïve Ünïcödé straße Ελληνικά γλώσσα "
          "Русский язык привет мир 中文字符测试 日本語テスト ひらがな カタカナ 한국어 시험 مرحبا بالعالم שלום नमस्ते दुनिया "
          "ไทย ภาษา 👍🏽 👨‍👩‍👧 🇩🇪 ½ ² ٣٤٥ １２３ — “quotes” «guillemets» … ¿qué? £€$ and the of to in a is that it was ")


def sample_text(rng, words=4000):
    parts = SAMPLE.split(" ")
    return ["".join(rng.choice(["", " ", " ", " ", "\n"]) + rng.choice(parts) for _ in range(40)) for _ in range(words // 40)]


def fill(kind, options, parts, rng, size=700):
    """The complete file, with a vocabulary trained on pieces as this file's own pre-tokenizer cuts them."""
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None} | json.loads(json.dumps(parts))
    bare = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    untrained = file | {"added_tokens": [], "post_processor": None, "model": bare | {"vocab": {}, "merges": []}}
    learner = Tokenizer.from_str(json.dumps(untrained))
    if kind == "characters" and file["pre_tokenizer"] is None:  # one piece per text: learn from words
        learner.pre_tokenizer = Tokenizer.from_str(json.dumps(untrained | {"pre_tokenizer": split(SPACE, "MergedWithNext")})).pre_tokenizer
    learner.train_from_iterator(sample_text(rng), trainers.BpeTrainer(
        vocab_size=size, show_progress=False, limit_alphabet=400, initial_alphabet=byte_letters() if kind == "bytes" else list("abc" + SPACE)))
    learned = json.loads(learner.to_str())["model"]
    head = [] if kind == "bytes" else ["<unk>", "<s>", "</s>"] + BYTES
    vocab = {t: i for i, t in enumerate(head)}
    if kind == "bytes" and rng.random() < .5:  # DeepSeek's special tokens come first and are in the vocabulary
        vocab = {t["content"]: i for i, t in enumerate(file["added_tokens"]) if t["special"] and not t["normalized"]}
    for t in sorted(learned["vocab"], key=learned["vocab"].get):
        vocab.setdefault(t, len(vocab))
    merges = learned["merges"] if rng.random() < .5 else [" ".join(m) for m in learned["merges"]]
    file["model"] = bare | options | {"vocab": vocab, "merges": merges}
    return number(file)


def number(file):
    """Gives added tokens the ids that the library would give, and adds them to the post-processor."""
    next_id = len(file["model"]["vocab"])
    for t in file["added_tokens"]:
        t["id"] = file["model"]["vocab"].get(t["content"], next_id)
        next_id = max(next_id, t["id"] + 1)
    ids = {t["content"]: t["id"] for t in file["added_tokens"]}

    def name(processor):
        for inner in processor.get("processors", []):
            name(inner)
        if "names" in processor:
            processor["special_tokens"] = {n: {"id": n, "ids": [ids[n]], "tokens": [n]} for n in processor.pop("names")}
    if file["post_processor"]:
        name(file["post_processor"])
    return file


def show_pieces(file, rng):
    """The same file with a vocabulary in which any two neighbours merge, in random order, so that a cut at a different place gives
    different ids. Byte-level files only."""
    letters = byte_letters()
    pairs = [[a, b] for a in letters for b in letters]
    rng.shuffle(pairs)
    vocab = {t: i for i, t in enumerate(letters + [a + b for a, b in pairs])}
    file = json.loads(json.dumps(file))
    file["model"] |= {"vocab": vocab, "merges": pairs}
    names = []

    def forget(processor):
        for inner in processor.get("processors", []):
            forget(inner)
        if "special_tokens" in processor:
            processor["names"] = list(processor.pop("special_tokens"))
    if file["post_processor"]:
        forget(file["post_processor"])
    return number(file)


PATTERNS = [QWEN, GLM4, CL100K, O200K, KIMI, *DEEPSEEK3, *DEEPSEEK2, r"\s+", r"\d", r"\w+|[^\w\s]+", r"[^\s]+", "a*", r"(?=[A-Z])",
            r"\p{L}+", r"\p{P}", r"\p{Han}|\p{Hiragana}", r".", r"\n", "▁", r"[[:alpha:]]+", r"[a-z&&[^aeiou]]+", r"[a-f[0-9]]+", r"$"]
BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def random_file(base, rng):
    """`base` (a file of fill()) with its parts replaced by random ones."""
    file = json.loads(json.dumps(base))
    coin = lambda: rng.random() < .5

    def normalizer():
        return rng.choice([
            lambda: {"type": rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"])},
            lambda: {"type": "Prepend", "prepend": rng.choice([SPACE, "x", " "])},
            lambda: replace(rng.choice([" ", "a", "''", "\n"]), rng.choice([SPACE, "", "bb"])),
            lambda: replace(rng.choice([r"\s+", r" {2,}", r"^\s", r"[^a-z]", r"\p{M}", "x*"]), rng.choice([" ", "", "é"]), "Regex"),
            lambda: LLAMA_NORMALIZER])()

    def piece():
        return rng.choice([
            lambda: split(rng.choice(PATTERNS), rng.choice(BEHAVIORS), coin()),
            lambda: split(rng.choice(PATTERNS)),
            lambda: split(rng.choice([" ", "a", "th", "\n", SPACE]), rng.choice(BEHAVIORS), coin(), "String"),
            lambda: level(coin(), coin(), coin()),
            lambda: {"type": "Digits", "individual_digits": coin()},
            lambda: {"type": rng.choice(["Whitespace", "WhitespaceSplit"])},
            lambda: {"type": "Punctuation", "behavior": rng.choice(BEHAVIORS)},
            lambda: metaspace(rng.choice(["first", "always", "never"]), coin())])()

    def decoder():
        return rng.choice([
            lambda: level(coin(), coin(), coin()), lambda: {"type": "ByteFallback"}, lambda: {"type": "Fuse"},
            lambda: metaspace(rng.choice(["first", "always", "never"]), coin()),
            lambda: {"type": "Strip", "content": rng.choice([" ", "a", SPACE]), "start": rng.randrange(3), "stop": rng.randrange(3)},
            lambda: replace(rng.choice([SPACE, "a", "Ġ", "  "]), rng.choice([" ", "", "xy"])),
            lambda: replace(rng.choice([r"\s+$", r"[aeiou]", "b*"]), rng.choice([" ", ""]), "Regex"),
            lambda: LLAMA_DECODER])()

    def some(of, pack, most=3):
        n = rng.randrange(most + 1)
        return None if n == 0 else of() if n == 1 and coin() else pack(*(of() for _ in range(n)))

    if rng.random() < .7:
        file["normalizer"] = some(normalizer, normalizers)
    if rng.random() < .1:  # alone: before others the library can use up all memory
        file["normalizer"] = {"type": "Strip", "strip_left": coin(), "strip_right": coin()}
    if rng.random() < .7:
        file["pre_tokenizer"] = some(piece, pieces)
    if rng.random() < .7:
        file["decoder"] = some(decoder, decoders, 4)
    vocab = file["model"]["vocab"]
    contents = ["<x>", "<s>", "the", "The", " the", "  ", "ab", "é", "E\u0301", "Ａb", "[INST]", "\n\n", "<|im|>", "<|im|>2", SPACE + "x", "中", "'s"]
    rng.shuffle(contents)
    kept = [t for t in file["added_tokens"] if t["content"] in vocab]
    used = {t["content"] for t in kept}
    file["added_tokens"] = kept + [
        token(c, coin(), lstrip=rng.random() < .3, rstrip=rng.random() < .3, single_word=rng.random() < .3, normalized=coin())
        for c in contents[:rng.randrange(8)] if c not in used]
    names = [t["content"] for t in file["added_tokens"]]
    if coin() and names:
        file["post_processor"] = template([rng.choice(names)] if coin() else [], [rng.choice(names)] if coin() else [])
    else:
        file["post_processor"] = rng.choice([None, level()])
    model = file["model"]
    if coin():
        model["ignore_merges"] = coin()
    if "<unk>" in vocab and coin():
        model |= {"unk_token": rng.choice(["<unk>", None]), "fuse_unk": coin(), "byte_fallback": coin()}
        if coin():  # some bytes have no token
            for b in rng.sample(BYTES, 60):
                vocab[b + "gone"] = vocab.pop(b, None) if b in vocab else len(vocab)
    return number(file)
