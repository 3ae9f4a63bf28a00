// Times, money and layouts in words. Used by the text of the answer, its tables and its curves.
#pragma once

#include <string>

#include "plan/answer/question.hpp"
#include "plan/answer/search.hpp"

namespace moemill::estimate {

std::string hours_text(double hours);  // 0.32 s, 12.5 min, 8.4 h
std::string money(double value);
// Of the plan, which has a price.
std::string currency_of(const Question& question, const Plan& plan);
const char* unit_word(const Plan& plan);                             // GPU, or rank of a CPU node
std::string price_text(const Question& question, const Plan& plan);  // at 2.00 USD/GPU-hour (2025-05-05)
std::string layout_text(const Layout& layout, const Plan& plan);     // with the exchange, where there are several
std::string group_text(const Layout& layout);                        // EP48 x2: two micro-batches
std::string precision_text(const Precision& precision);

}  // namespace moemill::estimate
