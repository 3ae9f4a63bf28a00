"""Names of a run's columns and meanings of its codes (the layout of outputs.h5)."""

BLOCK_ROWS = 1024
BLOCK_BYTES = 4 << 20  # bytes of text and numbers per block; a longer row is a block of its own
NUMBER_BYTES = 32  # bytes per number in a Python list
STATUS = ("pending", "ok", "failed", "skipped")
FINISH = (None, "stop", "length", "stop_string", "repetition", "error")
FIXED = ("prompt_index", "sample_index", "id", "status", "finish_reason", "num_prompt_tokens", "num_completion_tokens",
         "seed", "cumulative_logprob")
OTHERS = ("text", "num_chars", "mean_logprob", "token_ids", "logprobs", "top_ids", "top_logprobs", "prompt_logprobs",
          "error_code", "error_message", "stop_reason", "prompt", "prompt_token_ids", "messages", "score", "completion", "chosen", "rejected")
SPLIT = ("reasoning_content", "content", "tool_calls")  # parts of an answer, which may also be names of the input's columns
SCORING = ("prompt_mean_logprob", "perplexity")  # made from prompt_logprobs
RUN = "run"  # which of several runs
ROW_COLUMNS = ("id", "prompt_index", "sample_index", "status", "finish_reason", "text", "num_prompt_tokens",
               "num_completion_tokens", "cumulative_logprob")
OF_FORMAT = {  # default columns of every format except rows
    "messages": ("id", "sample_index", "messages"),
    "prompt-completion": ("id", "sample_index", "prompt", "completion"),
    "sharegpt": ("id", "sample_index", "conversations"),
    "alpaca": ("id", "sample_index", "instruction", "input", "output", "system", "history"),
    "kto": ("id", "sample_index", "prompt", "completion", "label"),
    "pairs": ("id", "prompt", "chosen", "rejected", "score_chosen", "score_rejected"),
    "openai-batch": ()}
WITH_TOOLS = ("messages", "sharegpt", "kto", "pairs")
CHAT = ("messages", "sharegpt", "alpaca", "kto", "pairs", "openai-batch")  # formats that pass an answer on as a turn
