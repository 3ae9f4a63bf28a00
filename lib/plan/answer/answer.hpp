// The answer of `moemill plan`: the best plan in one line, then what it is made of; as text or as JSON.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "plan/answer/band.hpp"
#include "plan/answer/curve.hpp"
#include "plan/answer/search.hpp"

namespace moemill::estimate {

// How many rows of a machine the table has, its cheapest or all, and whether layouts that are left out are listed.
enum class Listing { Best, All };
// Explained: with each term's formula and its numbers.
enum class Detail { Answer, Explained };

// Everything that an answer says.
struct Report {
  const Question& question;
  const Search& search;
  const std::vector<Checked>& checked;
  Listing listing = Listing::Best;
  Detail detail = Detail::Answer;
  std::vector<std::string> notes = {};                           // what is taken for granted, a line each
  std::string ceiling = "";                                      // what it costs if all answers reach max_tokens
  std::vector<std::pair<std::string, std::string>> easier = {};  // what would keep the limits, with its first line
  std::vector<PlanCurve> curves = {};
  std::vector<Plan> imagined = {};  // of machines that do not exist: the real ones with one domain of fast links
};

// The best plan in one line; there must be one.
std::string best_text(const Question& question, const Search& search, const std::vector<Checked>& checked);
// The first line is that line. Without a plan that keeps the limits: the cheapest that do not, and what would.
std::string answer_text(const Report& report);
// One object, version 1, with units in the names.
std::string answer_json(const Report& report);

// Whose speed it is: published kernels, or this machine by its calibration.
std::string speed_text(const Plan& plan);

}  // namespace moemill::estimate
