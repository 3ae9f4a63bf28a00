#include "text/stages/post_processor.hpp"

#include <fmt/format.h>

#include <map>

namespace moemill::text {
namespace {

TokenId read_id(const Place& place) { return static_cast<TokenId>(place.integer(0, id_limit - 1)); }

}  // namespace

PostProcessor::PostProcessor(const std::optional<Place>& place) {
  if (place) read(*place, 0);
}

void PostProcessor::read(const Place& place, int depth) {
  if (depth > 8) place.refuse("post-processors are nested too deeply");
  std::string type = place.at("type").string();
  if (type == "Sequence") {
    for (const Place& inner : place.at("processors").elements()) read(inner, depth + 1);
  } else if (type == "TemplateProcessing") {
    read_template(place);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    read_pair(place);
  } else if (type != "ByteLevel") {  // ByteLevel only changes offsets, which nothing here uses
    place.refuse(fmt::format("the post-processor \"{}\" is not supported", type));
  }
}

void PostProcessor::read_template(const Place& place) {
  std::map<std::string, std::vector<TokenId>> special;
  for (const auto& [name, token] : place.at("special_tokens").members())
    for (const Place& id : token.at("ids").elements()) special[name].push_back(read_id(id));
  std::vector<TokenId> before, after;
  int text_count = 0;
  for (const Place& item : place.at("single").elements()) {
    if (auto sequence = item.find("Sequence")) {
      if (sequence->at("id").string() != "A") sequence->refuse("only the sequence A can be in \"single\"");
      if (++text_count > 1) sequence->refuse("the sequence A twice in \"single\" is not supported");
    } else {
      Place name = item.at("SpecialToken").at("id");
      auto it = special.find(name.string());
      if (it == special.end()) name.refuse(fmt::format("\"{}\" is not among \"special_tokens\"", name.string()));
      auto& side = text_count == 0 ? before : after;
      side.insert(side.end(), it->second.begin(), it->second.end());
    }
  }
  if (text_count == 0) place.at("single").refuse("the text itself (the sequence A) is missing");
  wrap(before, after);
}

// Reads the form "cls": ["<s>", 0], "sep": ["</s>", 2].
void PostProcessor::read_pair(const Place& place) {
  auto id = [&](const char* key) {
    auto pair = place.at(key).elements();
    if (pair.size() != 2) place.at(key).refuse("must be [token, id]");
    return std::vector<TokenId>{read_id(pair[1])};
  };
  wrap(id("cls"), id("sep"));
}

void PostProcessor::wrap(const std::vector<TokenId>& before, const std::vector<TokenId>& after) {
  before_.insert(before_.begin(), before.begin(), before.end());
  after_.insert(after_.end(), after.begin(), after.end());
}

std::vector<TokenId> PostProcessor::apply(std::vector<TokenId> ids) const {
  ids.insert(ids.begin(), before_.begin(), before_.end());
  ids.insert(ids.end(), after_.begin(), after_.end());
  return ids;
}

}  // namespace moemill::text
