// Prints the table of keys for people: on the terminal, and as the page configs/README.md.
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

// Escapes "a|b" for a table's cell.
std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string row_of(const Field& field) {
  return fmt::format("| `{}` | `{}` | {} | {} | {} |\n", field.key, default_of(field), cell(field.accepts),
                     is_column(field.key) ? "yes" : "", field.effect == Effect::Answers ? "yes" : "");
}

constexpr const char* page_head = R"(# run.yaml

All keys with their defaults. `moemill help run.yaml` prints this page, `moemill run --help` the keys alone.

```yaml
model:    {path: /data/models/DeepSeek-V2-Lite}
input:    {path: prompts.h5}
sampling: {temperature: 0.7, top_p: 0.95, max_tokens: 512, n: 4, seed: 1}
```

- Precedence: defaults < run.yaml < `--set key.path=value` and flags < columns of prompts.h5. A key marked *column* may be
  a column of the same name with a value per prompt. NaN, -1 and "" there mean the run's value (for the presence and
  frequency penalties only NaN, because -1 is a value). In columns, `stop` and `stop_token_ids` are JSON lists.
- Keys marked *answers* decide the contents of the outputs: a run keeps its values, and a resume with different ones is
  refused. `--extend` accepts different values of `sampling.n`, `sampling.max_tokens`, `input.limit` and
  `model.max_model_len`, `--retry-failed` of `errors.too_long` and `model.max_model_len`. All remaining keys may change from
  attempt to attempt.
- `schema_version: 1` is optional at the top. Strings are read as PyYAML reads them. Numbers are written in decimal digits:
  010, 0x1f and 1_000, which readers of YAML interpret differently, are refused, and so are tags such as `!include` and
  merge keys. Paths are relative to the current folder; `~` and `$NAME` in them are refused, because only a shell
  replaces them.
- The default of `output.dir` is runs/ and the input's name without its extension.
- If a column asks for fewer `logprobs` in one row than in another, the row's unused places in
  `/completions/logprobs` hold token -1 and NaN; a row without logprobs holds NaN throughout.

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
