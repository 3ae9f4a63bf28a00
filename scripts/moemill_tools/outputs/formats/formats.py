"""One function per format: rows of the run to rows of the file, each with the row that it was made from."""
import itertools

from ...common import Fault
from ..reading.duplicates import normalised
from ..layout import SPLIT
from .turns import alpaca, assistant_turn, conversation, turns_before

NO_ANSWER = "its reasoning has no end, so there is no answer (--whole-text keeps it)"

WITHOUT_TOOLS = "the prompt's tools are left out: Alpaca has no field for them (--add tools adds a column; messages and sharegpt have them)"
ONLY_SCORED = "its prompt was only scored (max_tokens: 0), so there is no answer (--format rows has its scores)"


class Formats:
    def __init__(self, options, source, columns, answers, counts, lacks):
        """`counts`: reasons why rows are left out; `lacks`: missing parts of rows that are written."""
        self.options, self.carried, self.answers, self.counts, self.lacks = options, source.carried, answers, counts, lacks
        self.cuts = columns.cuts
        self.columns, self.computed, self.next_turn = columns.shown, columns.computed, columns.next_turn
        self.several_samples = bool(self.next_turn) and source.outputs.has_several_samples()
        self.chat = "messages" in self.carried

    def rows_as(self, name, rows):
        if name != "rows": rows = self.answered(rows)
        return getattr(self, "format_" + name.replace("-", "_"))(self.cuts.as_read(rows))

    def answered(self, rows):
        """Rows that were to be answered. An answer that stops at once is empty, but an answer."""
        for row in rows:
            if row["num_completion_tokens"] == 0 and row["finish_reason"] == "length": self.counts[ONLY_SCORED] += 1
            else: yield row

    def shown(self, row, **made): return row, {c: made[c] if c in made else row[c] for c in self.columns}

    def turns(self, row): return turns_before(row, self.chat)

    def turn_of(self, row):
        """The answer as an assistant's turn, or None if there is none."""
        if self.options.whole_text: return {"role": "assistant", "content": self.answers.whole(row)}
        answer = self.answers.of(row)
        if not answer.calls and answer.reasoning is not None and not (answer.content or "").strip(): return None
        return assistant_turn(answer)

    def with_answers(self, rows):
        """(row, the answer's turn) of rows with an answer."""
        for row in rows:
            turn = self.turn_of(row)
            if turn is None: self.counts[NO_ANSWER] += 1
            else: yield row, turn

    def format_rows(self, rows):
        split, turns = self.computed & set(SPLIT) & set(self.columns), "messages" in self.columns and not self.chat
        for row in rows:
            made = {"messages": self.turns(row)} if turns else {}
            if split:
                answer = self.answers.of(row)
                made.update(reasoning_content=answer.reasoning, content=answer.content, tool_calls=answer.calls or None)
                made = {c: v for c, v in made.items() if c in split or c not in SPLIT}
            elif "text" in row: self.answers.look_at(row["text"])
            yield self.shown(row, **made)

    def format_messages(self, rows):
        for row, turn in self.with_answers(rows):
            messages = [*self.turns(row), turn]
            if not self.next_turn:
                yield self.shown(row, messages=messages)
                continue
            said = self.next_turn.of(row, turn)
            if said is None:
                self.counts["it has no next turn"] += 1
                continue
            ident = f"{row['id']}/{row['sample_index']}" if self.several_samples else row["id"]  # a row of its own in the second round
            yield self.shown(row, messages=[*messages, {"role": "user", "content": said}], id=ident)

    def format_prompt_completion(self, rows):
        for row in rows:
            self.answers.look_for_channels(row["text"])
            yield self.shown(row, completion=row["text"])

    def format_sharegpt(self, rows):
        for row, turn in self.with_answers(rows): yield self.shown(row, conversations=conversation([*self.turns(row), turn]))

    def format_alpaca(self, rows):
        for row, turn in self.with_answers(rows):
            fields = alpaca([*self.turns(row), turn])
            if fields is None: self.counts["its conversation has no Alpaca form (tools, or two turns of one side)"] += 1
            else:
                if "tools" not in self.columns and row.get("tools") not in (None, "", "[]", []): self.lacks[WITHOUT_TOOLS] += 1
                yield self.shown(row, **fields, reasoning_content=turn.get("reasoning_content"))

    def format_kto(self, rows):
        for row, turn in self.with_answers(rows):
            if row["score"] is None:
                self.counts["it has no score"] += 1
                continue
            made = {"prompt": self.turns(row), "completion": [turn]} if self.chat else {"completion": row["text"]}
            yield self.shown(row, label=self.label_of(row), **made)

    def label_of(self, row):
        score, threshold = row["score"], self.options.threshold
        if threshold is not None: return score >= threshold
        if score not in (0, 1):
            raise Fault(f"prompt {row['prompt_index']}: has the score {score}, which is neither 0 nor 1: with --threshold X, X and more is true")
        return bool(score)

    def format_pairs(self, rows):
        for _, samples in itertools.groupby(rows, lambda r: r["prompt_index"]):
            turns = {row["sample_index"]: (row, turn) for row, turn in self.with_answers(s for s in samples if s["score"] is not None)}
            if len(turns) < 2:
                self.counts["prompt with fewer than two scored samples"] += 1
                continue
            best, worst = self.pair_of([row for row, _ in turns.values()])
            if best is None:
                self.counts[worst] += 1
                continue
            made = {"chosen": best["text"], "rejected": worst["text"], "prompt": best.get("prompt"),
                    "score_chosen": best["score"], "score_rejected": worst["score"]}
            if self.chat:
                made.update(prompt=self.turns(best), chosen=[turns[best["sample_index"]][1]], rejected=[turns[worst["sample_index"]][1]])
            yield self.shown(best, **made)

    def pair_of(self, scored):
        """The first best and the first worst sample whose texts differ, or (None, the reason)."""
        texts, tried, why = {}, set(), "pair with too small a margin"
        def text(sample):
            at = sample["sample_index"]
            if at not in texts: texts[at] = normalised(sample["text"])
            return texts[at]
        upwards = sorted(scored, key=lambda s: s["score"])
        for best in sorted(scored, key=lambda s: s["score"], reverse=True):  # the sort is stable: the first of equal ones
            if text(best) in tried: continue  # a better one of the same text found no partner
            tried.add(text(best))
            for worst in upwards:
                if best["score"] == worst["score"] or best["score"] - worst["score"] < self.options.min_margin: break
                if text(best) != text(worst): return best, worst
                why = "pair of equal texts"
        return None, why
