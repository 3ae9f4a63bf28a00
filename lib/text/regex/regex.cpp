#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex/regex.hpp"

#include <fmt/format.h>
#include <pcre2.h>

#include "base/error.hpp"
#include "base/text/utf8.hpp"
#include "text/files/text_error.hpp"

namespace moemill::text {
namespace {

// Steps of one match before the text is given up. Far more than reasonable patterns need; a few seconds at most.
constexpr std::uint32_t match_limit = 20'000'000;
constexpr std::uint32_t heap_limit_kib = 256 * 1024;  // for the interpreter, if there is no JIT
constexpr std::size_t first_stack_bytes = 64 * 1024;
constexpr std::size_t largest_stack_bytes = 128 * 1024 * 1024;  // address space; only used pages take memory

PCRE2_SPTR as_pcre(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data() ? text.data() : ""); }

std::string message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

}  // namespace

void PcreFree::operator()(pcre2_real_code_8* p) const { pcre2_code_free(p); }
void PcreFree::operator()(pcre2_real_match_data_8* p) const { pcre2_match_data_free(p); }
void PcreFree::operator()(pcre2_real_match_context_8* p) const { pcre2_match_context_free(p); }
void PcreFree::operator()(pcre2_real_jit_stack_8* p) const { pcre2_jit_stack_free(p); }

RegexScratch::RegexScratch()
    : data_(pcre2_match_data_create(1, nullptr)), context_(pcre2_match_context_create(nullptr)) {
  if (!data_ || !context_) system_error("PCRE2: no memory for a match");
  pcre2_set_match_limit(context_.get(), match_limit);
  pcre2_set_heap_limit(context_.get(), heap_limit_kib);
}

void RegexScratch::grow_stack() {
  stack_.reset(pcre2_jit_stack_create(first_stack_bytes, largest_stack_bytes, nullptr));
  if (!stack_) system_error("PCRE2: no memory for the stack of a match");
  pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
}

Regex::Regex(std::string_view onig_pattern) {
  PcrePattern pattern = pcre_pattern(onig_pattern);
  code_ = compile(pattern.text, PCRE2_UCP | PCRE2_MULTILINE);
  if (!pattern.exact.empty()) exact_ = compile(pattern.exact, PCRE2_UCP | PCRE2_MULTILINE);
  differing_ = std::move(pattern.differing);
}

Regex Regex::literal(std::string_view text) {
  Regex regex;
  regex.code_ = compile(text, PCRE2_LITERAL);
  return regex;
}

Regex::Code Regex::compile(std::string_view pattern, unsigned options) {
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) system_error("PCRE2: no memory for a pattern");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code made;
  made.code.reset(pcre2_compile(as_pcre(pattern), pattern.size(), options | PCRE2_UTF, &error, &offset, context.get()));
  if (!made.code)
    throw RegexError(fmt::format("{} (at byte {} of \"{}\", as PCRE2 reads it)", message(error), offset, pattern));
  made.to_machine_code = pcre2_jit_compile(made.code.get(), PCRE2_JIT_COMPLETE) == 0;
  return made;
}

bool Regex::find(const Code& code, std::string_view subject, std::size_t from, RegexScratch& scratch, Match& match) {
  auto run = code.to_machine_code ? pcre2_jit_match : pcre2_match;
  auto attempt = [&] {
    return run(code.code.get(), as_pcre(subject), subject.size(), from, PCRE2_NO_UTF_CHECK, scratch.data_.get(),
               scratch.context_.get());
  };
  int result = attempt();
  if (result == PCRE2_ERROR_JIT_STACKLIMIT && !scratch.stack_) {
    scratch.grow_stack();
    result = attempt();
  }
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0)
    throw TextError(fmt::format("a split pattern gives up at byte {} of a piece of {} bytes: {}", from, subject.size(),
                                message(result)));
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer(scratch.data_.get());
  match = {found[0], found[1]};
  if (match.begin > match.end || match.begin < from)  // possible with \K in a look-around
    throw TextError("a split pattern matches backwards");
  return true;
}

std::size_t Regex::after_character(std::string_view subject, std::size_t at) {
  return at < subject.size() ? at + utf8_length(subject[at]) : at + 1;
}

}  // namespace moemill::text
