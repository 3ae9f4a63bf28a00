"""One function for each format: rows of the run to rows of the file."""
import datetime
import itertools
import os

from ..common import Fault
from ..run_files import reading, setting
from .duplicates import normalised


class Formats:
    def __init__(self, options, source, columns, counts):
        self.options, self.outputs, self.carried = options, source.outputs, source.carried
        self.columns, self.counts = columns.shown, counts

    def rows_as(self, name, rows): return getattr(self, "format_" + name.replace("-", "_"))(rows)

    def format_rows(self, rows):
        columns = self.columns
        for row in rows:
            if "messages" in row or "messages" not in columns: yield {c: row[c] for c in columns}
            else: yield {**{c: row[c] for c in columns if c != "messages"}, "messages": self.turns(row)}

    def turns(self, row):
        messages = row["messages"] if "messages" in self.carried else [{"role": "user", "content": row["prompt"]}]
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            raise Fault(f"prompt {row['prompt_index']}: its column messages is no list of messages: leave the prompt out, or use --format rows")
        return [{k: v for k, v in m.items() if v is not None} for m in messages]

    def answer(self, text):
        if self.options.split_thinking and "</think>" in text:
            thinking, _, content = text.partition("</think>")
            thinking = thinking.lstrip().removeprefix("<think>").strip("\n")
            return {"role": "assistant", "reasoning_content": thinking, "content": content.lstrip("\n")}
        return {"role": "assistant", "content": text}

    def format_messages(self, rows):
        for row in rows:
            messages = [*self.turns(row), self.answer(row["text"])]
            yield {c: messages if c == "messages" else row[c] for c in self.columns}

    def format_prompt_completion(self, rows):
        for row in rows: yield {c: row["text"] if c == "completion" else row[c] for c in self.columns}

    def format_pairs(self, rows):
        chat = "messages" in self.carried
        for _, samples in itertools.groupby(rows, lambda r: r["prompt_index"]):
            scored = [s for s in samples if s["score"] is not None]
            if len(scored) < 2:
                self.counts["prompt with fewer than two scored samples"] += 1
                continue
            best, worst = self.pair_of(scored)
            if best is None:
                self.counts[worst] += 1
                continue
            made = {"chosen": best["text"], "rejected": worst["text"], "prompt": best.get("prompt"),
                    "score_chosen": best["score"], "score_rejected": worst["score"]}
            if chat:
                made.update(prompt=self.turns(best), chosen=[self.answer(best["text"])],
                            rejected=[self.answer(worst["text"])])
            yield {c: made[c] if c in made else best[c] for c in self.columns}

    def pair_of(self, scored):
        """The first best and the first worst whose texts differ, or (None, why there is none)."""
        texts, tried, why = {}, set(), "pair with too small a margin"
        def text(sample):
            at = sample["sample_index"]
            if at not in texts: texts[at] = normalised(sample["text"])
            return texts[at]
        upwards = sorted(scored, key=lambda s: s["score"])
        for best in sorted(scored, key=lambda s: s["score"], reverse=True):  # stable: of equal ones the first
            if text(best) in tried: continue  # a better one of this text found none
            tried.add(text(best))
            for worst in upwards:
                if best["score"] == worst["score"] or best["score"] - worst["score"] < self.options.min_margin: break
                if text(best) != text(worst): return best, worst
                why = "pair of equal texts"
        return None, why

    def format_openai_batch(self, rows):
        run = self.outputs.attribute("run_id")[:24]
        created = self.outputs.attribute("created_utc").replace("Z", "+00:00")
        with reading(self.outputs.files[0].filename):
            created = int(datetime.datetime.fromisoformat(created).timestamp()) if created else 0
        model_path = setting(self.outputs.config(), "model", "path") or ""
        for index, samples in itertools.groupby(rows, lambda r: r["prompt_index"]):
            samples = list(samples)
            good, first = [s for s in samples if s["status"] == "ok"], samples[0]
            line = {"id": f"batch_req_{run}_{index}", "custom_id": str(first["id"]), "response": None, "error": None}
            if not good:
                fault = next((s for s in samples if s["error_code"]), first)
                line["error"] = {"code": fault["error_code"] or fault["status"], "message": fault["error_message"] or ""}
                yield line
                continue
            url = str(first.get("url") or "").rstrip("/")
            plain = url.endswith("/completions") and not url.endswith("/chat/completions")
            body = {"id": f"{'cmpl' if plain else 'chatcmpl'}-{run}-{index}",
                    "object": "text_completion" if plain else "chat.completion", "created": created,
                    "model": first.get("model") or os.path.basename(model_path.rstrip("/")),
                    "choices": [self.choice(s, plain) for s in good],
                    "usage": {"prompt_tokens": first["num_prompt_tokens"],
                              "completion_tokens": sum(s["num_completion_tokens"] for s in good)}}
            body["usage"]["total_tokens"] = sum(body["usage"].values())
            line["response"] = {"status_code": 200, "request_id": f"req_{run}_{index}", "body": body}
            yield line

    def choice(self, row, plain):
        reason = {"stop_string": "stop"}.get(row["finish_reason"], row["finish_reason"])
        choice = {"index": row["sample_index"]}
        choice.update({"text": row["text"]} if plain else {"message": self.answer(row["text"])})
        choice["logprobs"] = None
        if "logprobs" in row:  # as vLLM returns tokens as ids
            names = [f"token_id:{t}" for t in row["token_ids"]]
            choice["logprobs"] = {"tokens": names, "token_logprobs": row["logprobs"]} if plain else \
                {"content": [{"token": n, "logprob": p, "bytes": None, "top_logprobs": []} for n, p in zip(names, row["logprobs"])]}
        choice["finish_reason"] = reason
        return choice
