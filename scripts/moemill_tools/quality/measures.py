"""What is measured of a model in bf16 and in int8, as plain numbers. Each function runs the jobs that it needs."""
import math

import numpy as np

from .jobs import ARITHMETICS, MOST_LOGPROBS, good_pairs


def continuations(jobs, asked, max_tokens):
    """Greedy answers: how many tokens and rows are equal, and how many answers are the expected ones ("" expects nothing)."""
    store = "[text,token_ids]" if jobs.has_tokenizer else "[token_ids]"
    rows = jobs.rows("greedy", asked.prompts, asked.columns, ["sampling.temperature=0", f"sampling.max_tokens={max_tokens}", f"output.store={store}"])
    pairs = good_pairs(rows)
    equal = sum(sum(x == y for x, y in zip(a["token_ids"], b["token_ids"])) for a, b in pairs)
    longer = sum(max(len(a["token_ids"]), len(b["token_ids"])) for a, b in pairs)
    out = {"rows": len(pairs), "equal_rows": sum(list(a["token_ids"]) == list(b["token_ids"]) for a, b in pairs),
           "tokens": longer, "equal_tokens": equal}
    if any(asked.expected) and jobs.has_tokenizer:
        out["checkable"] = sum(map(bool, asked.expected))
        for arithmetic in ARITHMETICS:
            out["right_" + arithmetic] = sum(bool(e) and (row["text"] or "").strip() == e.strip()
                                             for row, e in zip(rows[arithmetic], asked.expected))
    return out


def perplexities(jobs, texts):
    """The texts' perplexity, and their token ids: exp of minus the mean log-probability of all tokens but the first ones."""
    rows = jobs.rows("texts", texts.prompts, texts.columns, ["sampling.max_tokens=0", "sampling.prompt_logprobs=true", "output.store=[prompt_token_ids]"])
    pairs = good_pairs(rows)
    out = {"texts": len(pairs)}
    for number, arithmetic in enumerate(ARITHMETICS):
        logprobs = np.concatenate([np.asarray(pair[number]["prompt_logprobs"][1:], "f8") for pair in pairs]) if pairs else np.empty(0)
        out["scored_tokens"] = len(logprobs)
        out["perplexity_" + arithmetic] = float(np.exp(-logprobs.mean())) if len(logprobs) else math.nan
    return out, [list(map(int, a["prompt_token_ids"])) for a, _ in pairs]


def contexts_of(texts, per_text):
    """Beginnings of the texts, evenly spread over each: where the distributions of the next token are compared."""
    return [text[:length] for text in texts for length in sorted({math.ceil(len(text) * (i + 1) / per_text) for i in range(per_text)})
            if length > 0]


def divergence(a, b):
    """(a lower bound of the divergence of two distributions of the next token, a's probability of the words that count one by
    one). Words that both rows list count one by one, all others together: merging words cannot raise a divergence. It is exact
    if the rows list the whole vocabulary."""
    p, q = (dict(zip(np.asarray(row["top_ids"]).ravel().tolist(), np.exp(np.asarray(row["top_logprobs"], "f8").ravel()).tolist()))
            for row in (a, b))
    both = [(p[word], q[word]) for word in p if word in q]
    covered, theirs = min(1.0, sum(x for x, _ in both)), min(1.0, sum(y for _, y in both))
    sum_of = sum(x * math.log(x / y) for x, y in both if x > 0 and y > 0)
    if covered < 1 and theirs < 1: sum_of += (1 - covered) * math.log((1 - covered) / (1 - theirs))
    return max(sum_of, 0.0), covered


def divergences(jobs, texts, per_text):
    """The Kullback-Leibler divergence of int8 from bf16 after the same contexts, in nats: KL(bf16 || int8)."""
    contexts = contexts_of(texts, per_text)
    if not contexts: return {"contexts": 0}
    rows = jobs.rows("contexts", contexts, {}, ["sampling.temperature=0", "sampling.max_tokens=1", "sampling.ignore_eos=true",
                                                f"sampling.logprobs={min(MOST_LOGPROBS, jobs.vocabulary)}", "output.store=[token_ids]"])
    pairs = good_pairs(rows)
    found = [divergence(a, b) for a, b in pairs]
    if not found: return {"contexts": 0}
    values = np.array([value for value, _ in found])
    return {"contexts": len(found), "kl_mean": float(values.mean()), "kl_99": float(np.quantile(values, 0.99)),
            "kl_covered": float(np.mean([covered for _, covered in found])),
            "same_best_word": sum(list(a["token_ids"]) == list(b["token_ids"]) for a, b in pairs)}


def quality(jobs, prompts, texts, max_tokens, per_text):
    """prompts, texts: with their columns, and prompts with expected answers (command.Prompts)."""
    out = {"model": str(jobs.model), **continuations(jobs, prompts, max_tokens)}
    scores, tokens = perplexities(jobs, texts)
    return {**out, **scores, **divergences(jobs, tokens, per_text)}
