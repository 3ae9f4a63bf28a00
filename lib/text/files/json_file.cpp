#include "text/files/json_file.hpp"

#include "base/error.hpp"
#include "base/text/json_fault.hpp"
#include "base/text/utf8.hpp"

namespace moemill::text {
namespace {

using nlohmann::json;

// Builds the JSON tree without model.vocab and model.merges, which would be a third of a million nodes.
class TokenizerSax : public nlohmann::json_sax<json> {
 public:
  TokenizerSax(TokenizerFile& file, const std::string& name) : file_(file), name_(name) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool b) override { return value(b); }
  bool number_integer(number_integer_t) override { return number(-1, json(-1)); }
  bool number_unsigned(number_unsigned_t n) override {
    return number(n < static_cast<number_unsigned_t>(id_limit) ? static_cast<std::int64_t>(n) : -1, json(n));
  }
  bool number_float(number_float_t x, const string_t&) override { return number(-1, json(x)); }
  bool binary(binary_t&) override { return value(nullptr); }

  bool string(string_t& s) override {
    if (part_ == Part::Merges) return spaced_merge(s);
    if (part_ == Part::Pair) {
      if (pair_members_ == 0) file_.left.add(s);
      if (pair_members_ == 1) file_.right.add(s);
      pair_members_++;
      return true;
    }
    return value(std::move(s));
  }

  bool key(string_t& k) override {
    if (part_ == Part::Vocabulary) {
      file_.vocabulary.add(k);
    } else {
      if (stack_.back()->contains(k)) user_error("{}: the key \"{}\" appears twice in one object", name_, k);
      key_ = std::move(k);
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (part_ == Part::Tree && in_model() && key_ == "vocab") {
      if (file_.has_vocabulary) user_error("{}: model.vocab appears twice", name_);
      part_ = Part::Vocabulary;
      file_.has_vocabulary = true;
      return true;
    }
    return open(json::object());
  }
  bool start_array(std::size_t) override {
    if (part_ == Part::Merges) {
      part_ = Part::Pair;
      pair_members_ = 0;
      return true;
    }
    if (part_ == Part::Tree && in_model() && key_ == "merges") {
      if (file_.has_merges) user_error("{}: model.merges appears twice", name_);
      part_ = Part::Merges;
      file_.has_merges = true;
      return true;
    }
    return open(json::array());
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool parse_error(std::size_t, const std::string&, const json::exception& e) override {
    user_error("{}: not JSON: {}", name_, json_fault(e.what()));
  }

 private:
  enum class Part { Tree, Vocabulary, Merges, Pair };

  bool in_model() const { return stack_.size() == 2 && stack_.back()->is_object() && model_ == stack_.back(); }

  json* attach(json v) {
    if (stack_.empty()) {
      file_.tree = std::move(v);
      return &file_.tree;
    }
    json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    return &(parent[key_] = std::move(v));
  }

  bool open(json v) {
    refuse_outside_tree();
    bool model = stack_.size() == 1 && key_ == "model";
    stack_.push_back(attach(std::move(v)));
    if (model) model_ = stack_.back();
    return true;
  }

  bool close() {
    switch (part_) {
      case Part::Tree: stack_.pop_back(); break;
      case Part::Pair:
        if (pair_members_ != 2) refuse_merge();
        part_ = Part::Merges;
        break;
      default: part_ = Part::Tree;
    }
    return true;
  }

  bool value(json v) {
    refuse_outside_tree();
    attach(std::move(v));
    return true;
  }

  bool number(std::int64_t id, json v) {
    if (part_ != Part::Vocabulary) return value(std::move(v));
    if (id < 0)
      user_error("{}: model.vocab[\"{}\"] is not an id (a whole number from 0 to {})", name_,
                 file_.vocabulary[file_.vocabulary.size() - 1], id_limit - 1);
    file_.ids.push_back(static_cast<TokenId>(id));
    return true;
  }

  bool spaced_merge(const std::string& s) {
    std::size_t space = s.find(' ');
    if (space == s.npos || s.find(' ', space + 1) != s.npos) refuse_merge();
    file_.left.add(std::string_view(s).substr(0, space));
    file_.right.add(std::string_view(s).substr(space + 1));
    return true;
  }

  [[noreturn]] void refuse_merge() const {
    user_error("{}: model.merges[{}] is neither \"LEFT RIGHT\" nor [\"LEFT\", \"RIGHT\"]", name_,
               part_ == Part::Pair && pair_members_ > 0 ? file_.left.size() - 1 : file_.left.size());
  }

  void refuse_outside_tree() const {
    if (part_ == Part::Vocabulary)
      user_error("{}: model.vocab[\"{}\"] is not an id (a whole number)", name_,
                 file_.vocabulary[file_.vocabulary.size() - 1]);
    if (part_ != Part::Tree) refuse_merge();
  }

  TokenizerFile& file_;
  const std::string& name_;
  std::vector<json*> stack_;  // open objects and arrays of the tree; a parent never moves while a child is open
  const json* model_ = nullptr;
  std::string key_;
  Part part_ = Part::Tree;
  int pair_members_ = 0;
};

}  // namespace

TokenizerFile read_tokenizer_file(std::string_view text, const std::string& file_name) {
  TokenizerFile file;
  TokenizerSax sax(file, file_name);
  json::sax_parse(text.begin(), text.end(), &sax);
  if (!file.tree.is_object()) user_error("{}: not a JSON object", file_name);
  return file;
}

void Place::refuse(const std::string& reason) const {
  user_error("{}: {}{}{}", *file_, path_, path_.empty() ? "" : ": ", reason);
}

Place Place::at(const char* key) const {
  auto place = find(key);
  if (!place) refuse(fmt::format("\"{}\" is missing", key));
  return *place;
}

std::optional<Place> Place::find(const char* key) const {
  if (!value_->is_object()) refuse("must be an object");
  auto it = value_->find(key);
  if (it == value_->end() || it->is_null()) return std::nullopt;
  return Place(*it, *file_, path_.empty() ? key : path_ + "." + key);
}

std::vector<Place> Place::elements() const {
  if (!value_->is_array()) refuse("must be an array");
  std::vector<Place> all;
  for (std::size_t i = 0; i < value_->size(); i++)
    all.emplace_back((*value_)[i], *file_, fmt::format("{}[{}]", path_, i));
  return all;
}

std::vector<std::pair<std::string, Place>> Place::members() const {
  if (!value_->is_object()) refuse("must be an object");
  std::vector<std::pair<std::string, Place>> all;
  for (const auto& [key, value] : value_->items()) all.emplace_back(key, Place(value, *file_, path_ + "." + key));
  return all;
}

std::string Place::string() const {
  if (!value_->is_string()) refuse("must be a string");
  return value_->get<std::string>();
}

bool Place::boolean() const {
  if (!value_->is_boolean()) refuse("must be true or false");
  return value_->get<bool>();
}

bool Place::boolean_or(const char* key, bool otherwise) const {
  auto place = find(key);
  return place ? place->boolean() : otherwise;
}

std::string Place::string_or(const char* key, const std::string& otherwise) const {
  auto place = find(key);
  return place ? place->string() : otherwise;
}

std::int64_t Place::integer(std::int64_t least, std::int64_t most) const {
  bool fits = value_->is_number_unsigned() ? value_->get<std::uint64_t>() <= static_cast<std::uint64_t>(most) : false;
  if (!fits || value_->get<std::int64_t>() < least)
    refuse(fmt::format("must be a whole number from {} to {}", least, most));
  return value_->get<std::int64_t>();
}

char32_t Place::character() const {
  std::string s = string();
  std::size_t at = 0;
  if (s.empty()) refuse("must be one character");
  char32_t c = next_code_point(s, at);
  if (at != s.size()) refuse("must be one character");
  return c;
}

}  // namespace moemill::text
