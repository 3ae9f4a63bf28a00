// Names of columns that are settings, and names so close to them that a typing error is likelier than data. Used by
// PromptFile only.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/prompts/columns.hpp"

namespace moemill::dataset {

// The columns that override the run's settings for their row.
constexpr std::array<std::string_view, 16> setting_names = {"n",
                                                            "temperature",
                                                            "top_p",
                                                            "top_k",
                                                            "min_p",
                                                            "repetition_penalty",
                                                            "presence_penalty",
                                                            "frequency_penalty",
                                                            "max_tokens",
                                                            "min_tokens",
                                                            "seed",
                                                            "stop",
                                                            "stop_token_ids",
                                                            "ignore_eos",
                                                            "logprobs",
                                                            "add_special_tokens"};

enum class ColumnKind { Integers, Floats, Texts, Other };

// The setting that a column was likely meant to be: a name that differs in case or in the separators between its words
// (`Top-P`, `maxTokens`), the name of the setting in another program (`max_new_tokens`, `temp`), or a typing error.
// Long names may have two errors, names of middle length one; in names of four letters only swapped and doubled letters
// count, because `tempo`, `step` and `shop` are words. The column must hold values that the setting takes.
std::optional<std::string_view> meant_setting(std::string_view name, ColumnKind kind);

// UserError for a column of the group that nearly has a setting's name and would silently be carried as data; columns
// that `carried` (output.carry_columns) names are data. Returns warnings about columns that change nothing, one
// sentence each.
std::vector<std::string> check_column_names(hid_t group, const ColumnPlace& place,
                                            const std::optional<std::vector<std::string>>& carried);

// The attribute `add_special_tokens` of the prompts' group, else of the file's root: 1 or true, 0 or false; nothing if
// it is absent or -1.
std::optional<bool> special_tokens_attribute(hid_t file, hid_t group, const std::string& path);

bool is_setting(std::string_view name);

// Whether the name is a setting of another program that moemill does not have; a column of that name changes nothing.
bool is_foreign_setting(std::string_view name);

}  // namespace moemill::dataset
