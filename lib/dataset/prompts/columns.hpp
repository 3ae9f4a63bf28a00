// Columns of prompts.h5 by what they hold: text, token ids, numbers, each in every form that h5py may have written.
// Used by PromptFile only. Opening checks the form; a form that does not fit is a UserError naming file and dataset.
// Rows are read in ranges.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "system/files/h5.hpp"

namespace moemill::dataset {

// Where a column lies, for opening it and for messages: "prompts.h5: dataset '/train/prompt'".
struct ColumnPlace {
  std::string file;
  std::string group;
  std::string name;
  std::string text() const;
};

// Variable-length or fixed strings, or a group of packed UTF-8 `values` + `offsets`.
class TextColumn {
 public:
  TextColumn(hid_t group, ColumnPlace place);
  std::uint64_t rows() const { return rows_; }
  const ColumnPlace& place() const { return place_; }
  void check_offsets(std::uint64_t first, std::uint64_t count) const;             // of these rows, when packed
  std::vector<std::string> read(std::uint64_t first, std::uint64_t count) const;  // bytes, not yet known as UTF-8

 private:
  std::vector<std::string> read_variable(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::string> read_fixed(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::string> read_packed(std::uint64_t first, std::uint64_t count) const;

  enum class Form { Variable, Fixed, Packed };
  ColumnPlace place_;
  Form form_ = Form::Variable;
  h5::Handle data_;     // the strings, or the packed values
  h5::Handle offsets_;  // packed only
  std::uint64_t rows_ = 0;
  std::uint64_t values_ = 0;  // packed only
};

// Variable-length integers, or a group of packed integer `values` + `offsets`. Ids come as int64; what int64 cannot
// hold comes as its largest value.
class TokenColumn {
 public:
  TokenColumn(hid_t group, ColumnPlace place);
  std::uint64_t rows() const { return rows_; }
  const ColumnPlace& place() const { return place_; }
  void check_offsets(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::vector<std::int64_t>> read(std::uint64_t first, std::uint64_t count) const;

 private:
  std::vector<std::vector<std::int64_t>> read_variable(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::vector<std::int64_t>> read_packed(std::uint64_t first, std::uint64_t count) const;

  enum class Form { Variable, Packed };
  ColumnPlace place_;
  Form form_ = Form::Variable;
  h5::Handle data_;
  h5::Handle offsets_;
  std::uint64_t rows_ = 0;
  std::uint64_t values_ = 0;
};

// Integers or floats of any width and byte order, one a row.
class NumberColumn {
 public:
  enum class Booleans { Refused, Accepted };  // as h5py writes numpy's bool
  NumberColumn(hid_t group, ColumnPlace place, Booleans booleans = Booleans::Refused);
  std::uint64_t rows() const { return rows_; }
  const ColumnPlace& place() const { return place_; }
  // NaN and -1 are "run default": nothing.
  std::vector<std::optional<double>> read_reals(std::uint64_t first, std::uint64_t count) const;
  // The same where -1 is a value like any other: NaN alone is nothing.
  std::vector<std::optional<double>> read_signed_reals(std::uint64_t first, std::uint64_t count) const;
  // The same as whole numbers from 0 on; UserError naming the row for any other.
  std::vector<std::optional<std::uint64_t>> read_wholes(std::uint64_t first, std::uint64_t count) const;
  // Integers as they are, for ids; UserError for floats and for what int64 cannot hold.
  std::vector<std::int64_t> read_integers(std::uint64_t first, std::uint64_t count) const;

 private:
  enum class Form { Signed, Unsigned, Float };
  ColumnPlace place_;
  Form form_ = Form::Signed;
  h5::Handle data_;
  std::uint64_t rows_ = 0;
};

// Booleans, or numbers 1 and 0; -1 and NaN are "run default": nothing. UserError naming the row for any other.
class SwitchColumn {
 public:
  SwitchColumn(hid_t group, ColumnPlace place) : numbers_(group, std::move(place), NumberColumn::Booleans::Accepted) {}
  std::uint64_t rows() const { return numbers_.rows(); }
  const ColumnPlace& place() const { return numbers_.place(); }
  std::vector<std::optional<bool>> read(std::uint64_t first, std::uint64_t count) const;

 private:
  NumberColumn numbers_;
};

// Rows of a one-dimensional dataset; UserError for any other shape.
std::uint64_t rows_of(hid_t dataset, const ColumnPlace& place);

}  // namespace moemill::dataset
