"""Finds columns with names that are almost those of settings, or that other programs use for them. The table of other names, the letters
compared and the tolerated errors are those of the program (lib/dataset/prompts/column_names.cpp), which refuses such columns."""
from .settings import SAMPLING

SETTINGS = (*SAMPLING, "add_special_tokens")
SHORT, LONG = 4, 11  # letters: shorter names (seed, stop, top_p) tolerate fewer errors, longer ones (temperature) more
STROKES = str.maketrans("", "", "_- .")

# Names in published interfaces that mean the same as a setting in any row: transformers, OpenAI, Anthropic, TGI.
SAME = {"max_new_tokens": "max_tokens", "max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens",
        "max_tokens_to_sample": "max_tokens", "min_new_tokens": "min_tokens", "num_return_sequences": "n", "stop_sequences": "stop",
        "stop_strings": "stop"}

# Names that may mean something different (max_length counts the prompt, num_predict may be -1), or that are used informally.
OTHERS = {"max_tokens": ("maxnewtokens", "maxcompletiontokens", "maxoutputtokens", "maxgentokens", "maxgentoks", "maxgeneratedtokens",
                         "maxtokenstosample", "maxtoks", "maxlength", "maxnewlength", "npredict", "numpredict"),
          "min_tokens": ("minnewtokens",),
          "n": ("numreturnsequences", "nsamples", "numsamples", "ncompletions", "numcompletions", "numgenerations", "samplesperprompt"),
          "temperature": ("temp", "samplingtemperature"),
          "repetition_penalty": ("reppenalty", "reppen", "repeatpenalty"),
          "frequency_penalty": ("freqpenalty",),
          "presence_penalty": ("prespenalty",),
          "seed": ("seeds", "randomseed", "samplingseed", "rngseed"),
          "stop": ("stops", "stopsequence", "stopsequences", "stopstring", "stopstrings", "stopstrs", "stopwords"),
          "logprobs": ("toplogprobs",),
          "stop_token_ids": ("stoptokens", "eostokenid", "eostokenids")}
MEANT = {letters: setting for setting, names in OTHERS.items() for letters in names}


def letters_of(name): return name.translate(STROKES).lower()


def takes(setting, kind):
    """Whether a column of this kind (see Column.kind()) can hold the setting."""
    if setting in ("stop", "stop_token_ids"): return kind in ("text", "json")
    return kind in ("bool", "int64", "uint64") or kind in ("whole", "float64") and setting != "logprobs"


def distance(a, b):
    """The number of letters left out, added, changed, or swapped with a neighbour."""
    before, row = [], list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y: row[j] = min(row[j], older[j - 2] + 1)
    return row[-1]


def is_slip(wrong, right):
    """Whether only two neighbours are swapped, or a letter is doubled."""
    if distance(wrong, right) != 1: return False
    if len(wrong) == len(right): return sorted(wrong) == sorted(right)
    return any(wrong[i] == wrong[i - 1] and wrong[:i] + wrong[i + 1:] == right for i in range(1, len(wrong)))


def is_typing_error(name, setting, kind):
    letters, right = letters_of(name), letters_of(setting)
    if len(right) < SHORT or letters[:1] != right[:1]: return False
    has_more_words = name.startswith(setting) and name[len(setting) + 1:] and name[len(setting)] in "_- ."
    if has_more_words or name[-1:].isdigit(): return False  # `temperature_c` and `seed2` are different names
    if len(right) == SHORT: return takes(setting, kind) and is_slip(letters, right)
    if setting == "logprobs" and not takes(setting, kind): return False  # `logprob` may be a result of an earlier run
    return distance(letters, right) <= (2 if len(right) >= LONG else 1)


def near_setting(name, kind):
    """The setting for which a column's name is a misspelling or another program's name; None if it is neither, or the setting itself."""
    letters = letters_of(name)
    if name in SETTINGS or not letters: return None
    for setting in SETTINGS:
        if letters == letters_of(setting) and (len(letters) > 1 or takes(setting, kind)): return setting
    if letters in MEANT and takes(MEANT[letters], kind): return MEANT[letters]
    return next((setting for setting in SETTINGS if is_typing_error(name, setting, kind)), None)
