"""Results in the form of OpenAI's batch API: one line per request, with its samples as choices."""
import datetime
import itertools
import os

from ...run_files import reading, setting
from .batch_logprobs import Logprobs
from .turns import assistant_turn


class Batch:
    def __init__(self, options, outputs, answers):
        self.options, self.answers, self.logprobs = options, answers, Logprobs(answers)
        self.run = outputs.attribute("run_id")[:24]
        created = outputs.attribute("created_utc").replace("Z", "+00:00")
        with reading(outputs.files[0].filename):
            self.created = int(datetime.datetime.fromisoformat(created).timestamp()) if created else 0
        self.model = os.path.basename((setting(outputs.config(), "model", "path") or "").rstrip("/"))

    def lines(self, rows):
        for index, samples in itertools.groupby(rows, lambda r: r["prompt_index"]):
            samples = list(samples)
            good, first = [s for s in samples if s["status"] == "ok"], samples[0]
            line = {"id": f"batch_req_{self.run}_{index}", "custom_id": str(first["id"]), "response": None, "error": None}
            if good: line["response"] = {"status_code": 200, "request_id": f"req_{self.run}_{index}", "body": self.body(index, first, good)}
            else:
                fault = next((s for s in samples if s["error_code"]), first)
                line["error"] = {"code": fault["error_code"] or fault["status"], "message": fault["error_message"] or ""}
            yield first, line

    def body(self, index, first, good):
        url = str(first.get("url") or "").rstrip("/")
        plain = url.endswith("/completions") and not url.endswith("/chat/completions")
        body = {"id": f"{'cmpl' if plain else 'chatcmpl'}-{self.run}-{index}",
                "object": "text_completion" if plain else "chat.completion", "created": self.created,
                "model": first.get("model") or self.model, "choices": [self.choice(s, plain) for s in good],
                "usage": {"prompt_tokens": first["num_prompt_tokens"], "completion_tokens": sum(s["num_completion_tokens"] for s in good)}}
        body["usage"]["total_tokens"] = sum(body["usage"].values())
        return body

    def choice(self, row, plain):
        reason = {"stop_string": "stop"}.get(row["finish_reason"], row["finish_reason"])
        choice = {"index": row["sample_index"]}
        if plain: choice["text"] = row["text"]
        elif self.options.whole_text: choice["message"] = {"role": "assistant", "content": self.answers.whole(row)}
        else:
            choice["message"] = assistant_turn(self.answers.of(row))
            if "tool_calls" in choice["message"] and reason == "stop": reason = "tool_calls"
        choice["logprobs"] = self.logprobs.of(row, plain)
        choice["finish_reason"] = reason
        return choice
