// The HDF5 types of the numbers in outputs.h5 and its shards: little-endian in the file, native in memory. Used by the
// readers and writers of these files.
#pragma once

#include <concepts>
#include <cstdint>

#include "system/files/h5.hpp"

namespace moemill::dataset {

template <class T>
hid_t stored_type() {
  if constexpr (std::same_as<T, float>)
    return H5T_IEEE_F32LE;
  else if constexpr (std::same_as<T, std::int32_t>)
    return H5T_STD_I32LE;
  else if constexpr (std::same_as<T, std::int64_t>)
    return H5T_STD_I64LE;
  else if constexpr (std::same_as<T, std::uint32_t>)
    return H5T_STD_U32LE;
  else if constexpr (std::same_as<T, std::uint64_t>)
    return H5T_STD_U64LE;
  else {
    static_assert(sizeof(T) == 1, "all other types are one-byte codes or bytes of text");
    return H5T_STD_U8LE;
  }
}

template <class T>
hid_t memory_type() {
  if constexpr (std::same_as<T, float>)
    return H5T_NATIVE_FLOAT;
  else if constexpr (std::same_as<T, std::int32_t>)
    return H5T_NATIVE_INT32;
  else if constexpr (std::same_as<T, std::int64_t>)
    return H5T_NATIVE_INT64;
  else if constexpr (std::same_as<T, std::uint32_t>)
    return H5T_NATIVE_UINT32;
  else if constexpr (std::same_as<T, std::uint64_t>)
    return H5T_NATIVE_UINT64;
  else
    return H5T_NATIVE_UINT8;
}

}  // namespace moemill::dataset
