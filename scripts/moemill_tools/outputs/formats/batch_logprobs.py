"""Log-probabilities of tokens in the two forms of OpenAI's API, for chats and for completions. Called by batch.py for each row that has
them, because its request or run.yaml asked for them."""
import codecs


class Logprobs:
    def __init__(self, answers):
        self.vocabulary, self.counts = answers.vocabulary, answers.counts
        self.hidden = {} if answers.shows_markers else self.vocabulary.special  # tokens that text leaves out
        self.spelled = {}

    def of(self, row, plain):
        """None if the row has none."""
        if row.get("logprobs") is None or row.get("token_ids") is None: return None
        top = [list(zip(ids, values)) for ids, values in zip(row["top_ids"], row["top_logprobs"])] if row.get("top_ids") is not None else []
        top = top or [[] for _ in row["logprobs"]]
        return self.of_completion(row, top) if plain else self.of_chat(row, top)

    def of_chat(self, row, top):
        def entry(token, logprob):
            name, raw = self.spelling(token)
            return {"token": name, "logprob": logprob, "bytes": None if raw is None else list(raw)}
        return {"content": [{**entry(token, logprob), "top_logprobs": [entry(*pair) for pair in pairs]}
                            for token, logprob, pairs in zip(row["token_ids"], row["logprobs"], top)]}

    def of_completion(self, row, top):
        names = [self.spelling(token)[0] for token in row["token_ids"]]
        best = [{name: logprob, **{self.spelling(t)[0]: p for t, p in reversed(pairs)}}
                for name, logprob, pairs in zip(names, row["logprobs"], top)]
        return {"tokens": names, "token_logprobs": row["logprobs"], "top_logprobs": best if any(top) else None,
                "text_offset": self.offsets(row)}

    def spelling(self, token):
        """(name, bytes or None) of a token. Tokens that are not complete text are named as OpenAI does, tokens of which only the id is
        known as vLLM does."""
        if token not in self.spelled:
            raw = self.vocabulary.bytes_of(token)
            try:
                self.spelled[token] = f"token_id:{token}" if raw is None else raw.decode(), raw
            except UnicodeDecodeError:
                self.spelled[token] = "bytes:" + "".join(f"\\x{b:02x}" for b in raw), raw
        if self.spelled[token][1] is None: self.counts["unspelled"] += 1
        return self.spelled[token]

    def offsets(self, row):
        """The position in the text at which each token begins, in characters; None if the tokens cannot be spelled."""
        out, at, decoder = [], 0, codecs.getincrementaldecoder("utf-8")("replace")
        for token in row["token_ids"]:
            raw = self.spelling(token)[1]
            if raw is None: return None
            is_cut = decoder.getstate()[0] and raw and not 0x80 <= raw[0] < 0xC0  # a character before it is incomplete
            out.append(min(at + bool(is_cut), len(row["text"])))  # a stop string ends the text before the tokens end
            if token not in self.hidden: at += len(decoder.decode(raw))
        return out
