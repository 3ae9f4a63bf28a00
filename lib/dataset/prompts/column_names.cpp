#include "dataset/prompts/column_names.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/text/edit_distance.hpp"
#include "system/files/h5.hpp"

namespace moemill::dataset {
namespace {

// A setting's name is short up to 4 letters (seed, stop, top_p) and long from 11 letters on (temperature). The length
// decides how many typing errors its name may have.
constexpr std::size_t short_name_letters = 4, long_name_letters = 11;

// Names that other programs give to our settings, in lower case and without separators. Words that are just as often
// the name of a data column (`length`, `samples`, `penalty`) are left out.
constexpr std::pair<std::string_view, std::string_view> synonyms[] = {
    {"maxnewtokens", "max_tokens"},
    {"maxcompletiontokens", "max_tokens"},
    {"maxoutputtokens", "max_tokens"},
    {"maxgentokens", "max_tokens"},
    {"maxgentoks", "max_tokens"},
    {"maxgeneratedtokens", "max_tokens"},
    {"maxtokenstosample", "max_tokens"},
    {"maxtoks", "max_tokens"},
    {"maxlength", "max_tokens"},
    {"maxnewlength", "max_tokens"},
    {"npredict", "max_tokens"},
    {"numpredict", "max_tokens"},
    {"minnewtokens", "min_tokens"},
    {"numreturnsequences", "n"},
    {"nsamples", "n"},
    {"numsamples", "n"},
    {"ncompletions", "n"},
    {"numcompletions", "n"},
    {"numgenerations", "n"},
    {"samplesperprompt", "n"},
    {"temp", "temperature"},
    {"samplingtemperature", "temperature"},
    {"reppenalty", "repetition_penalty"},
    {"reppen", "repetition_penalty"},
    {"repeatpenalty", "repetition_penalty"},
    {"freqpenalty", "frequency_penalty"},
    {"prespenalty", "presence_penalty"},
    {"seeds", "seed"},
    {"randomseed", "seed"},
    {"samplingseed", "seed"},
    {"rngseed", "seed"},
    {"stops", "stop"},
    {"stopsequence", "stop"},
    {"stopsequences", "stop"},
    {"stopstring", "stop"},
    {"stopstrings", "stop"},
    {"stopstrs", "stop"},
    {"stopwords", "stop"},
    {"toplogprobs", "logprobs"},
    {"stoptokens", "stop_token_ids"},
    {"eostokenid", "stop_token_ids"},
    {"eostokenids", "stop_token_ids"},
};

// Settings of other programs that moemill does not have.
constexpr std::string_view foreign_names[] = {"best_of",
                                              "use_beam_search",
                                              "length_penalty",
                                              "logit_bias",
                                              "bad_words",
                                              "allowed_token_ids",
                                              "prompt_logprobs",
                                              "guided_json",
                                              "guided_regex",
                                              "guided_choice",
                                              "guided_grammar",
                                              "structured_outputs",
                                              "response_format",
                                              "skip_special_tokens",
                                              "truncate_prompt_tokens",
                                              "repetition_detection",
                                              "include_stop_str_in_output"};

bool is_separator(char c) { return c == '_' || c == '-' || c == ' ' || c == '.'; }

// The name in lower case, without separators.
std::string letters_of(std::string_view name) {
  std::string letters;
  for (char c : name) {
    if (is_separator(c)) continue;
    letters += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }
  return letters;
}

// Whether a further word or a number follows the setting's name, as in `temperature_c` or `seed2`: such a name was
// chosen on purpose and is not a typing error.
bool has_more_words(std::string_view name, std::string_view setting) {
  if (name.empty() || (name.back() >= '0' && name.back() <= '9')) return true;
  return name.size() > setting.size() + 1 && name.starts_with(setting) && is_separator(name[setting.size()]);
}

// Whether the setting can take its values from a column of this kind.
bool takes(std::string_view setting, ColumnKind kind) {
  const bool texts = setting == "stop" || setting == "stop_token_ids";
  if (texts) return kind == ColumnKind::Texts;
  return kind == ColumnKind::Integers || (kind == ColumnKind::Floats && setting != "logprobs");
}

// Whether `wrong` is `right` with two neighbouring letters swapped, or with one letter doubled.
bool is_slip(std::string_view wrong, std::string_view right) {
  if (edit_distance(wrong, right) != 1) return false;
  if (wrong.size() == right.size()) {
    std::string a(wrong), b(right);
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    return a == b;
  }
  for (std::size_t i = 1; i < wrong.size(); ++i) {
    std::string once(wrong);
    once.erase(i, 1);
    if (wrong[i] == wrong[i - 1] && once == right) return true;
  }
  return false;
}

bool is_typing_error(std::string_view name, std::string_view setting, ColumnKind kind) {
  const std::string letters = letters_of(name), right = letters_of(setting);
  if (right.size() < short_name_letters || letters.empty() || letters[0] != right[0]) return false;
  if (has_more_words(name, setting)) return false;
  if (right.size() == short_name_letters) return takes(setting, kind) && is_slip(letters, right);
  if (setting == "logprobs" && !takes(setting, kind)) return false;  // `logprob` may hold results of an earlier run
  return edit_distance(letters, right) <= (right.size() >= long_name_letters ? 2u : 1u);
}

}  // namespace

std::optional<std::string_view> meant_setting(std::string_view name, ColumnKind kind) {
  const std::string letters = letters_of(name);
  for (std::string_view setting : setting_names)
    if (letters == letters_of(setting) && (letters.size() > 1 || takes(setting, kind))) return setting;
  for (const auto& [foreign, setting] : synonyms)
    if (letters == foreign && takes(setting, kind)) return setting;
  for (std::string_view setting : setting_names)
    if (is_typing_error(name, setting, kind)) return setting;
  return std::nullopt;
}

bool is_setting(std::string_view name) {
  return std::find(setting_names.begin(), setting_names.end(), name) != setting_names.end();
}

bool is_foreign_setting(std::string_view name) {
  return std::find(std::begin(foreign_names), std::end(foreign_names), name) != std::end(foreign_names);
}

namespace {

bool is_packed(hid_t group, const std::string& name) {
  return h5::exists(group, name + "/values") && h5::exists(group, name + "/offsets");
}

ColumnKind kind_of(hid_t group, const std::string& name) {
  if (h5::object_kind(group, name) == H5I_GROUP) return ColumnKind::Texts;  // packed
  h5::Handle dataset = h5::open_dataset(group, name);
  if (h5::shape(dataset).size() > 1) return ColumnKind::Other;
  switch (H5Tget_class(h5::type_of(dataset))) {
    case H5T_INTEGER:
    case H5T_ENUM: return ColumnKind::Integers;
    case H5T_FLOAT: return ColumnKind::Floats;
    case H5T_STRING: return ColumnKind::Texts;
    default: return ColumnKind::Other;
  }
}

bool is_column(hid_t group, const std::string& name) {
  if (!h5::exists(group, name)) return false;
  const H5I_type_t kind = h5::object_kind(group, name);
  return kind == H5I_DATASET || (kind == H5I_GROUP && is_packed(group, name));
}

}  // namespace

std::vector<std::string> check_column_names(hid_t group, const ColumnPlace& place,
                                            const std::optional<std::vector<std::string>>& carried) {
  std::vector<std::string> warnings;
  for (const std::string& name : h5::child_names(group)) {
    if (is_setting(name) || name == "id" || name == "prompt" || name == "prompt_token_ids") continue;
    if (carried && std::find(carried->begin(), carried->end(), name) != carried->end()) continue;
    if (!is_column(group, name)) continue;
    const std::string where = ColumnPlace{place.file, place.group, name}.text();
    if (const auto meant = meant_setting(name, kind_of(group, name))) {
      user_error(
          "{}: has nearly the name of the setting '{}': rename it to '{}' if it is meant to give each row that "
          "setting, or, if it is data to carry along, list it in output.carry_columns, e.g. [{}]",
          where, *meant, *meant, name);
    }
    if (is_foreign_setting(name)) warnings.push_back(where + ": changes nothing: no column can give such a setting");
  }
  return warnings;
}

std::optional<bool> special_tokens_attribute(hid_t file, hid_t group, const std::string& path) {
  constexpr const char* name = "add_special_tokens";
  for (const hid_t object : {group, file}) {
    if (h5::check(H5Aexists(object, name), path) == 0) continue;
    h5::Handle attribute = h5::own(H5Aopen(object, name, H5P_DEFAULT), path);
    h5::Handle type = h5::own(H5Aget_type(attribute), path), space = h5::own(H5Aget_space(attribute), path);
    const bool is_integer = H5Tget_class(type) == H5T_INTEGER || H5Tget_class(type) == H5T_ENUM;
    std::int64_t value = -2;  // stays out of range if the attribute is not one integer
    if (is_integer && H5Sget_simple_extent_npoints(space) == 1)
      h5::check(H5Aread(attribute, H5T_NATIVE_INT64, &value), path);
    if (value < -1 || value > 1)
      user_error("{}: attribute '{}' must be one number or boolean: 1 or true, 0 or false (or -1 for not set)", path,
                 name);
    if (value >= 0) return value == 1;
  }
  return std::nullopt;
}

}  // namespace moemill::dataset
