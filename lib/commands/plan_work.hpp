// The piece of work that a question of `moemill plan` is about, from its words. Used by plan_question.cpp.
#pragma once

#include <string>
#include <vector>

#include "commands/plan_question.hpp"

namespace moemill::mill {

struct AskedWork {
  estimate::Work work;
  std::optional<double> most_output_tokens;  // max_tokens, where it is known
  bool reaches_most = false;                 // answers are taken to reach it, because nothing says how long they are
  std::vector<std::string> notes;            // what is taken for granted, a line each
};
// UserError for words that mean nothing, and for lengths that the model cannot hold.
AskedWork asked_work(const PlanQuestion& words, const model::ModelConfig& model);

constexpr double most_length = 1e7;  // tokens of a prompt or an answer

void check_number(double value, double least, double most, const char* option);
void check_number(const std::optional<double>& value, double least, double most, const char* option);
// Limits that nothing keeps, or everything: to ask for none, the option is left out.
void check_above_zero(const std::optional<double>& value, double most, const char* option);

}  // namespace moemill::mill
