#include "dataset/output_fields.hpp"

#include <cstring>

namespace moemill::dataset {
namespace {

template <class T>
bool same_bytes(const T& a, const T& b) {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    return std::memcmp(&a, &b, sizeof a) == 0;
  } else {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
  }
}

}  // namespace

void fit_to_layout(Completion& row, const OutputLayout& layout) {
  row.num_completion_tokens = static_cast<std::uint32_t>(row.token_ids.size());
  if (layout.logprobs) widen_logprobs(row, *layout.logprobs);
}

std::string differing_columns(const Completion& a, const Completion& b, const OutputLayout& layout) {
  std::string names;
  auto compare = [&](const char* name, bool same) {
    if (!same) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  for_each_field(completion_fields, Cases{[&]<class T>(const ScalarField<T>& field) {
                                            compare(field.name, same_bytes(a.*field.member, b.*field.member));
                                          },
                                          [&](const IdField& field) { compare(field.name, a.id == b.id); },
                                          [&]<class T>(const RaggedField<T>& field) {
                                            if (field.width(layout) == 0) return;
                                            compare(field.name, same_bytes(a.*field.member, b.*field.member));
                                          }});
  return names;
}

}  // namespace moemill::dataset
