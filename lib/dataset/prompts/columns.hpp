// Columns of prompts.h5 by what they hold: text, token ids, numbers, each in every form that h5py may have written.
// Used by PromptFile only. Opening a column checks its form; a form that does not fit is a UserError naming file and
// dataset. Rows are read in ranges.
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

// A group of `values` and `offsets`: row i has the values offsets[i] .. offsets[i+1]-1.
class PackedColumn {
 public:
  // Integers of at most `most_value_bytes` each.
  PackedColumn(hid_t group, ColumnPlace place, std::size_t most_value_bytes);
  std::uint64_t rows() const { return rows_; }
  hid_t values() const { return values_; }
  // offsets[first .. first+count]; UserError unless they ascend within the values.
  std::vector<std::int64_t> read_offsets(std::uint64_t first, std::uint64_t count) const;

 private:
  ColumnPlace place_;
  h5::Handle values_, offsets_;
  std::uint64_t rows_ = 0, value_count_ = 0;
};

// Variable-length or fixed strings, or packed UTF-8 bytes.
class TextColumn {
 public:
  TextColumn(hid_t group, ColumnPlace place);
  std::uint64_t rows() const { return rows_; }
  const ColumnPlace& place() const { return place_; }
  // Reads the offsets of these rows, when the column is packed.
  void check_offsets(std::uint64_t first, std::uint64_t count) const;
  // The bytes of each row, not yet known to be UTF-8.
  std::vector<std::string> read(std::uint64_t first, std::uint64_t count) const;

 private:
  std::vector<std::string> read_variable(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::string> read_fixed(std::uint64_t first, std::uint64_t count) const;
  std::vector<std::string> read_packed(std::uint64_t first, std::uint64_t count) const;

  enum class Form { Variable, Fixed };
  ColumnPlace place_;
  std::optional<PackedColumn> packed_;  // or
  h5::Handle data_;
  Form form_ = Form::Variable;
  std::uint64_t rows_ = 0;
};

// Variable-length integers, or packed ones. Ids are read as int64; a value that int64 cannot hold becomes its largest.
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

  ColumnPlace place_;
  std::optional<PackedColumn> packed_;  // or
  h5::Handle data_;
  std::uint64_t rows_ = 0;
};

// Integers or floats of any width and byte order, one per row.
class NumberColumn {
 public:
  enum class Booleans { Refused, Accepted };  // whether numpy's bool, as h5py writes it, is a number too
  NumberColumn(hid_t group, ColumnPlace place, Booleans booleans = Booleans::Refused);
  std::uint64_t rows() const { return rows_; }
  const ColumnPlace& place() const { return place_; }
  // Nothing where the row has NaN or -1, which mean the run's default.
  std::vector<std::optional<double>> read_reals(std::uint64_t first, std::uint64_t count) const;
  // The same for settings where -1 is an ordinary value: nothing only for NaN.
  std::vector<std::optional<double>> read_signed_reals(std::uint64_t first, std::uint64_t count) const;
  // Whole numbers from 0 on; nothing for NaN and -1; UserError naming the row for everything else.
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

// Booleans, or numbers 1 and 0; nothing for -1 and NaN, which mean the run's default. UserError naming the row for
// everything else.
class SwitchColumn {
 public:
  SwitchColumn(hid_t group, ColumnPlace place) : numbers_(group, std::move(place), NumberColumn::Booleans::Accepted) {}
  std::uint64_t rows() const { return numbers_.rows(); }
  const ColumnPlace& place() const { return numbers_.place(); }
  std::vector<std::optional<bool>> read(std::uint64_t first, std::uint64_t count) const;

 private:
  NumberColumn numbers_;
};

// The number of rows of a one-dimensional dataset; UserError for any other shape.
std::uint64_t rows_of(hid_t dataset, const ColumnPlace& place);

}  // namespace moemill::dataset
