// The keys of run.yaml for people: on the terminal, and as the page configs/README.md. Both are the table itself.
#include <fmt/format.h>

#include <algorithm>

#include "base/text/text_wrap.hpp"
#include "config/config.hpp"
#include "config/config_fields.hpp"
#include "dataset/prompts/column_names.hpp"

namespace moemill::mill {
namespace {

std::string default_of(const Field& field) {
  const std::string value = yaml::write(field.write(RunConfig()));
  if (value != "\"\"") return value;
  return field.key == "output.dir" ? "runs/NAME" : "(required)";
}

bool is_column(std::string_view key) {
  const std::string_view name = key.substr(key.rfind('.') + 1);
  return (key.starts_with("sampling.") || key.starts_with("input.")) && dataset::is_setting(name);
}

// "a|b" stands in a table's cell.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string row_of(const Field& field) {
  return fmt::format("| `{}` | `{}` | {} | {} | {} |\n", field.key, default_of(field), cell(field.accepts),
                     is_column(field.key) ? "yes" : "", field.effect == Effect::Answers ? "yes" : "");
}

constexpr const char* page_head = R"(# run.yaml

All keys with their defaults. `moemill help run.yaml > configs/README.md` makes this page of the same table as
`moemill run --help`; a test holds it to that.

```yaml
model:    {path: /data/models/DeepSeek-V2-Lite}
input:    {path: prompts.h5}
sampling: {temperature: 0.7, top_p: 0.95, max_tokens: 512, n: 4, seed: 1}
```

- Precedence: defaults < run.yaml < `--set key.path=value` and flags < columns of prompts.h5. Keys marked *column* may be a
  column of the same name, with a value for each prompt; NaN, -1 and "" there mean "the run's" (for the presence and
  frequency penalties NaN alone, since -1 is a value). `stop` and `stop_token_ids` are JSON lists there.
- Keys marked *answers* decide what stands in the outputs: a run keeps its own, and another value is refused when it goes
  on. `--extend` takes other values of `sampling.n`, `sampling.max_tokens`, `input.limit` and `model.max_model_len`,
  `--retry-failed` of `errors.too_long` and `model.max_model_len`. All others may change from try to try.
- `schema_version: 1` may stand at the top. Strings are read as PyYAML reads them, numbers in decimal digits
  (010, 0x1f and 1_000, which readers of YAML take for other numbers, are refused, and so are tags such as `!include` and
  merge keys). Paths are relative to the current folder; `~` and `$NAME` in them are refused, because only a shell
  replaces them.
- `output.dir` is runs/ and the name of the input without its ending where it is not given.
- Where a row asks for fewer `logprobs` than another (as a column), its places in `/completions/logprobs` end in token -1
  and NaN; a row that asks for none has NaN throughout.

| key | default | accepted | column | answers |
|---|---|---|---|---|
)";

}  // namespace

std::string describe_keys() {
  constexpr std::size_t indent = 44;
  std::string text;
  for (const Field& field : config_fields()) {
    std::string line = fmt::format("  {} = {}", field.key, default_of(field));
    if (line.size() + 2 > indent) {
      text += line + "\n";
      line.clear();
    }
    line.resize(indent, ' ');
    text += line + wrapped(field.accepts, indent, indent) + "\n";
  }
  return text;
}

std::string keys_page() {
  std::string page = page_head;
  for (const Field& field : config_fields()) page += row_of(field);
  return page;
}

}  // namespace moemill::mill
